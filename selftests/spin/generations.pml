/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The chain of generations of one guest, on several nodes
 *
 * What one generation does inside is one-generation.pml; here a pair only forms,
 * ends, and forms anew, nodes crash and come back, the guest powers off and is
 * started again, somewhere.  The arbiter keeps, for each generation, who it
 * was opened for (two instances, or one that runs alone), who won it, and whether
 * it was closed; its rules are those of daemon/arbiter/backend.h.
 *
 * An instance is a life of the guest on a node: whoever crashes, or is over, comes
 * back as another one.  Claims may come at any time: suspicion may be wrong.
 *
 * Each node has its own disk. One that does not take part while the guest lives is
 * behind from then on, until the right one is copied.
 *
 * The promise: at most one instance lives, and none starts from a disk that is behind.  A primary counts as living while the
 * other half of its generation can acknowledge; without it no output leaves.
 *
 * -DBUG_name takes a rule out; the model must then fail.
 */
#define NODES		3
#define GENERATIONS	4	/* from 1 */

/* What a node does with the guest. */
mtype:role = {
	FREE,		/* nothing */
	SOLO,		/* lives alone in a generation it has won */
	OPENING,	/* the same, and has opened the next for itself and a peer */
	JOINING,	/* named in that one, not yet activated */
	PRIMARY,	/* runs, its outputs wait for acks */
	BACKUP		/* follows */
};

mtype:role role[NODES] = FREE;
byte gen[NODES];		/* generation it is in */
byte peer[NODES];		/* node of its other half */
byte self[NODES];		/* its instance, from 1 */
byte instances;			/* minted so far */

/* --- the arbiter's records, by generation; 0: absent ----------------------- */

byte open_first[GENERATIONS + 1];	/* instance of members[0] */
byte open_second[GENERATIONS + 1];	/* of members[1], or 0: it runs alone */
byte won[GENERATIONS + 1];		/* instance */
bool closed[GENERATIONS + 1];
byte open_at_first[GENERATIONS + 1];	/* nodes of these instances */
byte open_at_second[GENERATIONS + 1];
byte won_at[GENERATIONS + 1];
byte newest;				/* highest generation ever opened */
byte pruned;				/* all below is gone for ever */

#define names(g, who)	(open_first[g] == (who) || open_second[g] == (who))

#ifdef BUG_CLOSEDWON	/* a closed generation can be won */
#define ended(g)	(won[g] != 0)
#else
#define ended(g)	(won[g] != 0 || closed[g])
#endif

#ifdef BUG_ANYBODY	/* create-if-absent alone: whoever comes first */
#define may_claim(g, who)	(!ended(g))
#else
#define may_claim(g, who)	(!ended(g) && names(g, who))
#endif

#ifdef BUG_COLD		/* a cold start needs no CLOSED */
#define cold_allowed	true
#else
#define cold_allowed	(newest == 0 || closed[newest])
#endif

bool behind[NODES];		/* its disk lacks what the guest has written */

/* Whoever ended the newest generation has the disk: its winner, or both halves. */
#ifdef BUG_STALE	/* any disk will do */
#define has_disk(n)	true
#else
#define has_disk(n)	(newest == 0 || (won[newest] -> won_at[newest] == (n) : \
			 (open_at_first[newest] == (n) || \
			  (open_second[newest] && open_at_second[newest] == (n)))))
#endif

#ifdef BUG_SKIP		/* a primary changes its backup without winning first */
#define may_open(n)	((role[n] == SOLO || role[n] == PRIMARY) && newest < GENERATIONS)
#else
#define may_open(n)	(role[n] == SOLO && newest == gen[n] && newest < GENERATIONS)
#endif

#define acknowledged(n)	(role[peer[n]] == BACKUP && gen[peer[n]] == gen[n] && peer[peer[n]] == n)
#define lives(n)	(role[n] == SOLO || role[n] == OPENING || \
			 (role[n] == PRIMARY && acknowledged(n)))

#define may_live(n)	(lives(n) || (role[n] == PRIMARY && role[peer[n]] == JOINING && peer[peer[n]] == n))

inline check()
{
	assert(lives(0) + lives(1) + lives(2) <= 1)
}

/* What was known here is lost; what comes next here is another instance. */
inline leave(n)
{
	role[n] = FREE;
	gen[n] = 0;
	peer[n] = n;
	instances++;
	self[n] = instances
}

#ifdef BUG_CONTENT	/* nobody compares them */
#define same_disk(m)	true
#else
#define same_disk(m)	(!behind[m])
#endif

/* The guest lives on n, and on m where they are a pair: other disks miss what it writes. */
inline writes(n, m)
{
	if
	:: (n) != 0 && (m) != 0 -> behind[0] = true
	:: else
	fi;
	if
	:: (n) != 1 && (m) != 1 -> behind[1] = true
	:: else
	fi;
	if
	:: (n) != 2 && (m) != 2 -> behind[2] = true
	:: else
	fi
}

inline win(g, n)
{
	won[g] = self[n];
	won_at[g] = n
}

inline alone(n)
{
	gen[n] = newest;
	role[n] = SOLO;
	peer[n] = n;
	check()
}

/* `open` of the next generation for n and m; m reads it over its own way. */
inline open_with(n, m)
{
	newest++;
	open_first[newest] = self[n];
	open_at_first[newest] = n;
	open_second[newest] = self[m];
	open_at_second[newest] = m;
	role[n] = OPENING;
	peer[n] = m;
	role[m] = JOINING;
	peer[m] = n;
	gen[m] = newest;
	check()
}

#define me	_pid		/* the three nodes are processes 0, 1 and 2 */
#define next	((_pid + 1) % NODES)
#define last	((_pid + 2) % NODES)
#define mate	peer[me]

active [NODES] proctype node()
{
	atomic {
		instances++;
		self[me] = instances;
		peer[me] = me
	};
	(instances >= NODES);
end:	do
	/* cold start: the guest has never run, or was powered off */
	:: atomic {
		role[me] == FREE && cold_allowed && has_disk(me) && newest < GENERATIONS ->
		assert(!behind[me]);
		newest++;
		open_first[newest] = self[me];
		open_at_first[newest] = me;
		win(newest, me);
		alone(me)
	   }
	/*
	 * --force: an operator says that nobody lives, and is right; halves that
	 * wait in a contest may be there.  The generation before is ended with it.
	 */
	:: atomic {
		role[me] == FREE && newest > 0 && newest < GENERATIONS &&
		!may_live(0) && !may_live(1) && !may_live(2) ->
#ifndef BUG_FORCE	/* it is not: a half can win it later */
		if
		:: !ended(newest) -> win(newest, me)
		:: else
		fi;
#endif
		newest++;
		open_first[newest] = self[me];
		open_at_first[newest] = me;
		win(newest, me);
		behind[me] = false;	/* what it has is the guest from now on */
		writes(me, me);
		alone(me)
	   }
	/* he copies the right disk while all is off */
	:: atomic {
		role[0] == FREE && role[1] == FREE && role[2] == FREE && behind[me] &&
		!(behind[0] && behind[1] && behind[2]) ->
		behind[me] = false
	   }

	/* the guest runs */
	:: atomic { role[me] == SOLO && newest == gen[me] -> writes(me, me) }
	:: atomic { role[me] == PRIMARY && acknowledged(me) && !ended(gen[me]) -> writes(me, mate) }

	/* a pair forms: the winner of this generation opens the next */
	:: atomic { may_open(me) && role[next] == FREE -> open_with(me, next) }
	:: atomic { may_open(me) && role[last] == FREE -> open_with(me, last) }
	/* READY comes, of a twin with the same disk: the primary closes its gate and sends ACTIVATE */
	:: atomic {
		role[me] == OPENING && role[mate] == JOINING && peer[mate] == me && same_disk(mate) ->
		gen[me] = newest;
		role[me] = PRIMARY;
		check()
	   }
	/* ACTIVATE comes */
	:: atomic {
		role[me] == JOINING && role[mate] == PRIMARY && peer[mate] == me && gen[mate] == gen[me] ->
		role[me] = BACKUP;
		check()
	   }
	/* or the pair does not form: what was opened has to be won; nobody else can */
	:: atomic { role[me] == JOINING -> leave(me); check() }
	:: atomic {
		role[me] == OPENING ->
		assert(!ended(newest));
		win(newest, me);
		alone(me)
	   }

	/* a half claims its generation: its suspicion may be wrong */
	:: atomic {
		role[me] == PRIMARY || role[me] == BACKUP ->
		if
		:: may_claim(gen[me], self[me]) ->
			win(gen[me], me);
			role[me] = SOLO;
			mate = me
		:: else -> leave(me)	/* lost, closed, or long over */
		fi;
		check()
	   }
#ifdef BUG_EARLY	/* so does one that was not activated */
	:: atomic {
		role[me] == JOINING && may_claim(gen[me], self[me]) ->
		win(gen[me], me);
		role[me] = SOLO;
		mate = me;
		check()
	   }
#endif
#ifdef BUG_ANYBODY
	:: atomic {
		role[me] == FREE && newest > 0 && may_claim(newest, self[me]) ->
		win(newest, me);
		alone(me)
	   }
#endif

	/* the guest powers off; its backup hears of it now, later, or at its claim */
	:: atomic {
		(role[me] == SOLO && newest == gen[me]) || (role[me] == PRIMARY && !ended(gen[me])) ->
		closed[gen[me]] = true;
		leave(me);
		check()
	   }
#ifdef BUG_UNBEGUN	/* what it has opened, but never begun, ends without having been won */
	:: atomic { role[me] == OPENING -> closed[newest] = true; leave(me); check() }
#endif
	:: atomic { role[me] == BACKUP && closed[gen[me]] -> leave(me); check() }

	/* power is lost */
	:: atomic { role[me] != FREE -> leave(me); check() }
	od
}

/* What is long over is pruned: `open` first, then the rest; the two newest stay. */
active proctype pruner()
{
end:	do
	:: atomic {
		pruned + 2 < newest && !ended(pruned) ->
		pruned++;
#ifndef BUG_PRUNE	/* `open` stays: without `won` it can be won again */
		open_first[pruned] = 0;
		open_second[pruned] = 0
#endif
	   }
	:: atomic {
		won[pruned] != 0 || closed[pruned] ->
		won[pruned] = 0;
		closed[pruned] = false
	   }
	od
}
