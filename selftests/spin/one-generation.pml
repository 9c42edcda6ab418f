/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One generation of one guest: a primary, its backup, and the arbiter
 *
 * The states and what moves them are the module's own: table.pml is made of
 * kmod/state.c.  What is written here is the world around that table: the log
 * on its way, the gate, the arbiter, the daemons' discipline, and the faults.
 *
 * Each step below is one atomic action of one party.  Messages are not objects:
 * a message that was sent may arrive at any later time, so a step that needs one
 * only asks that it may have been sent.  Time-outs may fire at any time.
 *
 * Each rule of the protocol that is marked with a BUG_ name can be taken out with
 * -DBUG_name; the model must then fail (selftests/spin/run does that).
 *
 * The promise, asserted below:
 *  - what the primary handed to the outside world is in the history of a twin
 *    that lives; and of what the twin sends again, at most DUPLICATES had left;
 *  - never do two live; a closed guest lives nowhere; a diverged twin never lives;
 *  - a power-off that is recorded has lost no output;
 *  - a backup that goes live by a planned switch has nothing to say twice;
 *  - one fault never leaves the guest without anybody (asserted at the end).
 *
 * Rows of the module's table that the promise hangs on; without one it must fail:
 * Rows: CONTEST_P,WON CONTEST_P,LOST CONTEST_P,CLOSED CONTEST_B,LOST CONTEST_B,CLOSED
 * Rows: STOPPING,SILENCE ORPHAN_P,CONTEST ORPHAN_B,CONTEST LIVE,WENT_LIVE
 */
#ifndef OUTPUTS
#define OUTPUTS		3	/* the guest makes so many */
#endif
#ifndef DUPLICATES
#define DUPLICATES	1	/* LOCKSTEP_DUPLICATES_MAX */
#endif
#ifndef CRASHES
#define CRASHES		1	/* hosts that lose power */
#endif
#ifndef DAEMONS
#define DAEMONS		1	/* daemons that are killed, and come back */
#endif
#ifndef SWITCHES
#define SWITCHES	1	/* planned switches that are asked for */
#endif

#include "table.pml"

#define NOBODY		0
#define PRIMARY		1
#define BACKUP		2

/* A request to the arbiter: one that was sent arrives, if late. */
#define IDLE		0
#define SENT		1
#define ANSWERED	2
#define TAKEN		3	/* and the state did not list what it means */

/* --- the two instances ---------------------------------------------------- */

mtype:state p = SOLO;		/* the primary's module; generation before is won */
mtype:state b = FREE;		/* the backup's */
bool p_daemon = true;
bool b_daemon = true;
bool p_started;			/* its vCPU may have executed something */
bool p_paired;			/* READY was taken: the generation is the pair's */
bool b_seen;			/* b has read `open` in this attempt: said READY */
bool activated;			/* ACTIVATE was sent */
byte crashes;
byte daemons;
byte switches;
bool switch_sent;		/* SWITCH was sent */
bool diverged;			/* the twin has differed once */

/* --- the log: record k is output k; a power-off is one record more -------- */

byte made;			/* outputs the primary logged */
bool writing;			/* the last of them has not come to its gate yet */
bool at_rest;			/* its vCPU's thread sleeps, since it was parked */
bool off;			/* it logged the power-off */
#define END		(made + off)
byte held;			/* records held by the backup's module */
byte executed;			/* records its twin has consumed */
#define b_off		(off && executed == made + 1)
bool b_off_told;		/* the twin's POWEROFF was raised */
byte acked;			/* records the primary's module knows to be held */

/* --- outputs -------------------------------------------------------------- */

byte released;			/* handed to the outside world by the primary's gate */
byte told;			/* RELEASED as the backup's module knows it */
byte told_acked;		/* ... and as the primary's knows that it does */

/* --- the arbiter ---------------------------------------------------------- */

byte won = NOBODY;		/* `won` of the generation */
bool closed;			/* `closed` */
byte p_claim = IDLE;
byte b_claim = IDLE;
byte p_close = IDLE;
byte b_close = IDLE;
#ifdef BUG_RESTORE
bool restored;
#endif
#ifdef BUG_NODEID
bool rebooted;
#endif

/* A guest that has powered off runs no more, whatever the state says. */
#define p_lives		(gate_open(p) && !(off && released == made))
#define b_lives		(gate_open(b) && !b_off)

/* The twin has executed all, so its disk is as the primary's; or there is none. */
#ifdef BUG_DISK		/* it is enough that the backup holds the log */
#define done_there	(acked == END)
#else
#define done_there	(acked == END && (executed == END || !p_paired || won == PRIMARY))
#endif

/* DRAINED of a primary that stops: what it has is out, and the backup has it all. */
#ifdef BUG_CLOSE	/* it closes while outputs wait */
#define p_drained	(p == STOPPING)
#else
#define p_drained	(p == STOPPING && done_there && released == made)
#endif

/* DRAINED of a primary that switches: besides, its twin has executed all and knows all. */
#ifdef BUG_SWITCH	/* it asks as soon as it is parked */
#define p_handed	(p == SWITCHING)
#else
#define p_handed	(p == SWITCHING && acked == END && executed == END && \
			 told_acked == released && p_rests)
#endif

/* Else the last output can be acknowledged and executed there before it is at the gate. */
#ifdef BUG_REST		/* it asks while the vCPU's thread may be between record and write */
#define p_rests		(released == made - writing)
#else
#define p_rests		(released == made && at_rest)
#endif

/* DRAINED of a backup that contests: all that was acknowledged is executed. */
#ifdef BUG_CLAIMFIRST	/* it claims first, and executes the rest when it has won */
#define b_drained	(b == CONTEST_B)
#else
#define b_drained	(b == CONTEST_B && executed == held)
#endif

#ifdef BUG_BOUND	/* the gate does not wait for RELEASED to be acknowledged */
#define within_bound	true
#else
#define within_bound	(released < told_acked + DUPLICATES)
#endif

inline check()
{
	/* at most one instance lives; none after the end */
	assert(!(p_lives && b_lives));
	assert(!(closed && (p_lives || b_lives)));
	if
	:: gate_open(b) || (won == BACKUP && b == STOPPING) ->
		assert(!diverged);
		/* all that left is in its history: it sends the rest of it again */
		assert(released <= executed);
		/* it leaves out what it was told of, and that did leave */
		assert(told <= released);
		assert(released - told <= DUPLICATES);
		/* asked to: nothing is left to say, nothing is said twice */
		assert(!(switch_sent && p == SWITCHING) || (told == made && executed == END))
	:: else
	fi
}

/* What the module does by itself when a state is entered (enter(), kmod/event.c). */
#define p_event(e)	event_##e(p); p_entered()
#define b_event(e)	event_##e(b); b_entered()

inline p_entered()
{
	at_rest = false;
	if
	:: p == SOLO || (p == STOPPING && !p_paired) -> acked = END
	:: else
	fi;
	check()
}

inline b_entered()
{
	if
	:: b == FREE -> b_seen = false
	:: else
	fi;
	check()
}

/* --- the primary's host --------------------------------------------------- */

active proctype primary()
{
end:	do
	/* the guest runs and makes outputs; alone it needs nobody for them */
	:: atomic { vcpu_runs(p) && !p_started && !p_paired -> p_started = true }
	:: atomic { vcpu_logs(p) && !off && !writing && made < OUTPUTS ->
		p_started = true;
		writing = true;
		made++
	   }
	:: atomic { writing && p != DEAD -> writing = false }
	:: atomic { vcpu_logs(p) && !off && !writing -> p_started = true; off = true }
	/* LOCKSTEP_NEXT raises POWEROFF where it is not parked */
	:: atomic { off && (vcpu_logs(p) || vcpu_runs(p)) && p != LIVE -> p_event(POWEROFF) }

	/* the gate */
	:: atomic {
		gate_open(p) && released < made - writing ->
		released++;
		check()
	   }
	:: atomic {
		gate_acked(p) && released < made - writing && released < acked && within_bound ->
		released++;
		check()
	   }
#ifdef BUG_ORPHAN	/* a primary without a daemon lets its outputs out */
	:: atomic { p == ORPHAN_P && released < made -> released++; check() }
#endif

	/* an ack arrives; none counts in a contest */
	:: atomic {
		p_daemon && logs(p) && p != CONTEST_P && (acked < held || told_acked < told) ->
		if
		:: acked < held -> acked = held
		:: else
		fi;
		told_acked = told
	   }
#ifdef BUG_ACK		/* the backup's daemon acknowledges, not its module */
	:: atomic { p_daemon && logs(p) && p != CONTEST_P && acks(b) && acked < END -> acked = END }
#endif

	/* forming the pair: only a guest that has run nothing */
	:: atomic { p_daemon && takes_BACKUP_FOUND(p) && !p_started && !p_paired && b == SYNC_DST ->
		p_event(BACKUP_FOUND)
	   }
	:: atomic { p_daemon && takes_READY(p) && !p_started && b_seen ->
		p_paired = true;
		p_event(READY);
		activated = true
	   }
	:: atomic { p_daemon && takes_PEER_LOST(p) -> p_event(PEER_LOST) }
#ifdef BUG_UNCERTAIN	/* ACTIVATE may have arrived, and it goes on alone */
	:: atomic { p == PROTECTED_P && made == 0 && !off -> p_paired = false; p = SOLO; check() }
#endif

	/* detection: may be wrong at any time */
	:: atomic { p_daemon && takes_SILENCE(p) -> p_event(SILENCE) }
	:: atomic { p_daemon && takes_TIMEOUT(p) -> p_event(TIMEOUT) }
	:: atomic { p_daemon && takes_HEARD(p) && b != DEAD -> p_event(HEARD) }
	:: atomic { p_daemon && takes_PEER_FAILED(p) && (b == DIVERGED || b == DEAD) ->
		p_event(PEER_FAILED)
	   }
#ifdef BUG_RETURN	/* a contest ends because the peer is heard */
	:: atomic { p == CONTEST_P && acks(b) -> p = PROTECTED_P }
#endif

	/* a planned switch; it may be given up at any time, also once the backup was asked */
	:: atomic { p_daemon && takes_SWITCH(p) && switches < SWITCHES -> switches++; p_event(SWITCH) }
	:: atomic { p_daemon && p_handed && !switch_sent -> switch_sent = true }
	/* the vCPU's thread may make one more output on its way to sleep */
	:: atomic { p == SWITCHING && !at_rest && !writing && !off && made < OUTPUTS ->
		writing = true;
		made++
	   }
	:: atomic { p == SWITCHING && !at_rest && !writing -> at_rest = true }

	/* its daemon dies, comes back, and finds the same peer, or does not */
	:: atomic { p_daemon && p != DEAD && !over(p) && daemons < DAEMONS ->
		daemons++;
		p_daemon = false;
		p_event(DAEMON_LOST)
	   }
	:: atomic { !p_daemon && p != DEAD -> p_daemon = true }
	:: atomic { p_daemon && takes_RESUME(p) && b != DEAD && acked <= held -> p_event(RESUME) }
	:: atomic { p_daemon && takes_CONTEST(p) -> p_event(CONTEST) }

	/* the arbiter is asked, and answers; an answer that is lost is asked for again */
	:: atomic { p_daemon && p == CONTEST_P && p_claim == IDLE -> p_claim = SENT }
	:: atomic {
		p_daemon && p == CONTEST_P && p_claim == ANSWERED ->
		if
		:: !p_paired || won == PRIMARY -> p_event(WON)
		:: p_paired && won == BACKUP -> p_event(LOST)
#ifdef BUG_LOSTREPLY	/* asked again, it hears "exists", and does not look whose it is */
		:: p_paired -> p_event(LOST)
#endif
		:: p_paired && won == NOBODY && closed -> p_event(CLOSED)
		:: p_paired && won == NOBODY && !closed	/* an arbiter that forgot */
		fi;
		p_claim = (p == CONTEST_P && closed -> TAKEN : IDLE)
	   }
	:: atomic {
		p_daemon && p_drained && p_close == IDLE -> p_close = SENT
	   }
	:: atomic {
		p_daemon && p == STOPPING && p_close == ANSWERED ->
		if
		:: closed -> p_event(CLOSED)
		:: else -> p_event(SILENCE)	/* refused: somebody won */
		fi
	   }

	/* power is lost; what had been said is on its way */
	:: atomic { p != DEAD && !over(p) && crashes < CRASHES -> crashes++; p = DEAD }
	od
}

/* --- the backup's host ---------------------------------------------------- */

active proctype backup()
{
end:	do
	/* records arrive, in order; a hole is asked for again */
	:: atomic { b_daemon && acks(b) && held < END -> held++ }
	/* RELEASED of some moment comes along with them */
	:: atomic { b_daemon && acks(b) && told < released -> told++; check() }
#ifdef BUG_RELEASED	/* the primary reports an output before it is handed over */
	:: atomic { b_daemon && acks(b) && told < acked && told < made -> told++ }
#endif

	/* the twin executes; it may find that it differs, once */
	:: atomic { vcpu_replays(b) && executed < held -> executed++ }
	:: atomic {
		vcpu_replays(b) && executed < held && !diverged ->
		diverged = true;
#ifndef BUG_DIVERGED	/* a twin that differs goes on */
		b_event(DIVERGED)
#else
		executed++
#endif
	   }
	:: atomic { b_off && !b_off_told && vcpu_replays(b) -> b_off_told = true; b_event(POWEROFF) }

	/* forming the pair */
	:: atomic { b_daemon && takes_OFFERED(b) && p == SOLO && !p_started && !p_paired && !activated ->
		b_event(OFFERED)
	   }
	:: atomic { b_daemon && b == SYNC_DST && !b_seen ->
		b_seen = true;
#ifdef BUG_EARLY	/* it takes its own READY for the beginning */
		b_event(ACTIVATE)
#endif
	   }
	:: atomic { b_daemon && takes_ACTIVATE(b) && b_seen && activated -> b_event(ACTIVATE) }
	:: atomic { b_daemon && takes_PEER_LOST(b) -> b_event(PEER_LOST) }

	/* detection */
	:: atomic { b_daemon && takes_SILENCE(b) && won != BACKUP -> b_event(SILENCE) }
	:: atomic { b_daemon && takes_TIMEOUT(b) -> b_event(TIMEOUT) }
	:: atomic { b_daemon && takes_HEARD(b) && p != DEAD -> b_event(HEARD) }
	:: atomic { b_daemon && takes_PEER_FAILED(b) && p == DEAD && won != BACKUP ->
		b_event(PEER_FAILED)
	   }
	:: atomic { b_daemon && takes_SWITCH(b) && switch_sent -> b_event(SWITCH) }
#ifdef BUG_RETURN
	:: atomic { b == CONTEST_B && (p == PROTECTED_P || p == SUSPECT_P) -> b = PROTECTED_B }
#endif

	/* its daemon */
	:: atomic { b_daemon && b != DEAD && !over(b) && daemons < DAEMONS ->
		daemons++;
		b_daemon = false;
		b_event(DAEMON_LOST)
	   }
	:: atomic { !b_daemon && b != DEAD -> b_daemon = true }
	/* one that has executed the power-off has nothing to go on with */
	:: atomic { b_daemon && takes_RESUME(b) && p != DEAD && !b_off -> b_event(RESUME) }
	:: atomic { b_daemon && takes_CONTEST(b) -> b_event(CONTEST) }

	/* the arbiter */
	:: atomic { b_daemon && b_drained && b_claim == IDLE -> b_claim = SENT }
#ifdef BUG_CONTESTACK	/* it takes and acknowledges log after it has claimed */
	:: atomic { b == CONTEST_B && held < END -> held++ }
#endif
	:: atomic {
		b_daemon && b == CONTEST_B && b_claim == ANSWERED ->
		if
		:: won == BACKUP ->
#ifdef BUG_CLAIMFIRST
			if
			:: executed < held && !diverged -> diverged = true; b_event(DIVERGED)
			:: else -> executed = held; b_event(WON)
			fi
#else
			b_event(WON)
#endif
		:: won == PRIMARY -> b_event(LOST)
		:: won == NOBODY && closed -> b_event(CLOSED)
		:: won == NOBODY && !closed	/* an arbiter that forgot */
		fi;
		b_claim = (b == CONTEST_B && closed -> TAKEN : IDLE)
	   }
	:: atomic { b_daemon && b == DIVERGED && won == PRIMARY -> b_event(PEER_WON) }
	:: atomic { b_daemon && b == STOPPED_B && closed -> b_event(CLOSED) }

	/* it has won: kept outputs leave, then it is alone; a power-off ends that, too */
	:: atomic { takes_WENT_LIVE(b) -> b_event(WENT_LIVE) }
	:: atomic { b == SOLO && b_off -> b_event(POWEROFF) }
	:: atomic { b_daemon && b == STOPPING && b_close == IDLE -> b_close = SENT }
	:: atomic { b_daemon && b == STOPPING && b_close == ANSWERED && closed -> b_event(CLOSED) }

	:: atomic { b != DEAD && !over(b) && crashes < CRASHES -> crashes++; b = DEAD }
#ifdef BUG_NODEID	/* rebooted and empty, it is taken for the one it was, by its name */
	:: atomic { b == DEAD && !rebooted && (p == PROTECTED_P || p == SUSPECT_P) ->
		rebooted = true;
		held = 0;
		executed = 0;
		b = PROTECTED_B
	   }
#endif
	od
}

/* --- the arbiter: what is recorded stays ---------------------------------- */

active proctype arbiter()
{
end:	do
	:: atomic {
		p_claim == SENT ->
		p_claim = ANSWERED;
		if
		:: p_paired && won == NOBODY && !closed -> won = PRIMARY
		:: else
		fi
	   }
	:: atomic {
		b_claim == SENT ->
		b_claim = ANSWERED;
		if
		:: won == NOBODY && !closed -> won = BACKUP
		:: else
		fi
	   }
	:: atomic {
		p_close == SENT ->
		p_close = ANSWERED;
		if
		:: won != BACKUP ->
			assert(released == made);	/* a power-off loses nothing */
			/* nobody won: either disk is as good as the other */
			assert(won == PRIMARY || !p_paired || executed == END);
			closed = true
		:: else
		fi;
		check()
	   }
	:: atomic {
		b_close == SENT ->
		b_close = ANSWERED;
		if
		:: won == BACKUP -> closed = true
		:: else
		fi;
		check()
	   }
#ifdef BUG_RESTORE	/* an older copy of its store is put back */
	:: atomic { !restored && won != NOBODY -> restored = true; won = NOBODY }
#endif
	od
}

/* --- when nothing can happen any more ------------------------------------- */

active proctype end_of_all()
{
	/* from some moment on no more faults happen; then: nothing moves any more */
	atomic { crashes = CRASHES; daemons = DAEMONS };
	timeout;
	assert(b != LIVE);
	if
	:: closed ->
		/* powered off: both have heard of it */
		assert(p == DEAD || over(p));
		assert(b == DEAD || b == FREE || b == DIVERGED || over(b))
	:: else ->
		assert(p_lives || b_lives ||
		       /* two faults: the winner died before it lived, ... */
		       (won == PRIMARY && p == DEAD) || (won == BACKUP && b == DEAD) ||
		       /* ... or the last good copy did */
		       (p == DEAD && diverged) ||
		       /* or the guest was not protected yet */
		       (p == DEAD && (b == FREE || b == SYNC_DST)))
	fi
}
