/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * lockstep: fault-tolerant KVM guests by state machine replication
 *
 * This header is the only contract between the module and user space.  It has
 * four parts:
 *
 *  1. words shared by all parts: positions, states, events, streams;
 *  2. the log: how records are laid out, in batches, on every path (netlink,
 *     network, file);
 *  3. /dev/lockstep: what a VMM does to have its guest protected;
 *  4. the generic netlink family "lockstep": what a daemon does to carry the
 *     log.  Documentation/netlink-style source: specs/lockstep.yaml.
 *
 * Everything multi-byte in part 2 is little-endian; parts 3 and 4 are in the
 * host's byte order.  LOCKSTEP_ABI_VERSION grows with every incompatible change
 * of any part; both hosts of a pair must agree on it.
 */
#ifndef _UAPI_LINUX_LOCKSTEP_H
#define _UAPI_LINUX_LOCKSTEP_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define LOCKSTEP_ABI_VERSION	4

/* ---- 1. words ---------------------------------------------------------- */

#define LOCKSTEP_NAME_MAX	32	/* bytes of a guest's name, with the NUL */
#define LOCKSTEP_UUID_LEN	16
#define LOCKSTEP_STREAMS	4	/* output streams of one guest */

/**
 * struct lockstep_pos - a point in the guest's execution
 * @count: deterministic stops of the guest so far: returns of KVM_RUN that both
 *	   sides make (exits of the guest, forced positions), and clock reads
 * @rip:   the instruction about to run
 * @rcx:   what is left of a REP (tells positions inside one apart)
 */
struct lockstep_pos {
	__u64 count;
	__u64 rip;
	__u64 rcx;
};

/**
 * enum lockstep_counter - what tells places between two stops apart
 * @LOCKSTEP_COUNTER_STOPS: nothing: inputs wait for the guest's next stop
 * @LOCKSTEP_COUNTER_INSTRUCTIONS: retired instructions of the guest
 * @LOCKSTEP_COUNTER_BRANCHES: retired taken branches of the guest
 *
 * With one of the latter an input may be taken anywhere: LOCKSTEP_RECORD_FORCED
 * makes a stop at an instruction, so many events behind the stop before it.
 */
enum lockstep_counter {
	LOCKSTEP_COUNTER_STOPS = 0,
	LOCKSTEP_COUNTER_INSTRUCTIONS = 1,
	LOCKSTEP_COUNTER_BRANCHES = 2,
};

/**
 * enum lockstep_output_stream - where an output goes
 *
 * Outputs of a stream are named by an index that both sides count alike: the
 * number of the frame (from 1) for LOCKSTEP_STREAM_NET, the offset behind the
 * last byte for byte streams.
 */
enum lockstep_output_stream {
	LOCKSTEP_STREAM_NET = 0,	/* frames written to the tap */
	LOCKSTEP_STREAM_SERIAL = 1,	/* bytes of the serial line */
	LOCKSTEP_STREAM_CONSOLE = 2,	/* bytes of the virtio console */
	LOCKSTEP_STREAM_SPARE = 3,
};

/* At most so many outputs (frames) and bytes (byte streams) may have left
 * without the backup knowing that they left: the bound on duplicates.
 */
#define LOCKSTEP_DUPLICATES_MAX		256
#define LOCKSTEP_DUPLICATE_BYTES_MAX	4096

/**
 * enum lockstep_state - the states of an instance (docs/states.md)
 *
 * The module holds the state; user space only reports events.
 */
enum lockstep_state {
	LOCKSTEP_STATE_FREE = 0,
	LOCKSTEP_STATE_SOLO = 1,
	LOCKSTEP_STATE_SYNC_SRC = 2,
	LOCKSTEP_STATE_SYNC_DST = 3,
	LOCKSTEP_STATE_PROTECTED_P = 4,
	LOCKSTEP_STATE_PROTECTED_B = 5,
	LOCKSTEP_STATE_SUSPECT_P = 6,
	LOCKSTEP_STATE_SUSPECT_B = 7,
	LOCKSTEP_STATE_CONTEST_P = 8,
	LOCKSTEP_STATE_CONTEST_B = 9,
	LOCKSTEP_STATE_LIVE = 10,
	LOCKSTEP_STATE_SWITCHING = 11,
	LOCKSTEP_STATE_STOPPING = 12,
	LOCKSTEP_STATE_STOPPED_B = 13,
	LOCKSTEP_STATE_ORPHAN_P = 14,
	LOCKSTEP_STATE_ORPHAN_B = 15,
	LOCKSTEP_STATE_DIVERGED = 16,
	LOCKSTEP_STATE_HALTED = 17,

	__LOCKSTEP_STATE_LAST,
};
#define LOCKSTEP_STATE_MAX	(__LOCKSTEP_STATE_LAST - 1)

/**
 * enum lockstep_event - what moves an instance from state to state
 *
 * Those from the daemon are sent with LOCKSTEP_CMD_EVENT; the module raises
 * the others itself.  A pair (state, event) that is not in the table is counted
 * and changes nothing.
 */
enum lockstep_event {
	LOCKSTEP_EVENT_NONE = 0,
	/* from the daemon */
	LOCKSTEP_EVENT_COLD_WON = 1,	/* arbiter: this instance starts the guest */
	LOCKSTEP_EVENT_OFFERED = 2,	/* a primary offers to make us its twin */
	LOCKSTEP_EVENT_BACKUP_FOUND = 3, /* a backup's instance is there */
	LOCKSTEP_EVENT_VERIFIED = 4,	/* backup: start state fits, `open` read */
	LOCKSTEP_EVENT_READY = 5,	/* primary: the backup said READY */
	LOCKSTEP_EVENT_ACTIVATE = 6,	/* backup: the primary said ACTIVATE */
	LOCKSTEP_EVENT_PEER_LOST = 7,	/* link lost before ACTIVATE was sent */
	LOCKSTEP_EVENT_SILENCE = 8,	/* first time-out */
	LOCKSTEP_EVENT_HEARD = 9,	/* the same peer instance heard again */
	LOCKSTEP_EVENT_TIMEOUT = 10,	/* second time-out (backup: and self-check good) */
	LOCKSTEP_EVENT_PEER_FAILED = 11, /* peer said FAILED or DIVERGED */
	LOCKSTEP_EVENT_PEER_OTHER = 12,	/* another instance answers for the peer */
	LOCKSTEP_EVENT_WON = 13,	/* arbiter: the generation is ours */
	LOCKSTEP_EVENT_LOST = 14,	/* arbiter: the generation is the peer's */
	LOCKSTEP_EVENT_REFUSED = 15,	/* arbiter: `open` does not name us */
	LOCKSTEP_EVENT_CLOSED = 16,	/* arbiter holds CLOSED for the generation */
	LOCKSTEP_EVENT_PEER_WON = 17,	/* `won` names the peer */
	LOCKSTEP_EVENT_RESUME = 18,	/* daemon back, same peer resumes */
	LOCKSTEP_EVENT_CONTEST = 19,	/* daemon back, peer does not resume */
	LOCKSTEP_EVENT_SWITCH = 20,	/* planned switch asked for */
	LOCKSTEP_EVENT_RELEASE = 21,	/* give the instance up (detach, stop) */
	/* from the module */
	LOCKSTEP_EVENT_DAEMON_LOST = 32, /* socket closed, or silent too long */
	LOCKSTEP_EVENT_DIVERGED = 33,	/* digest, hash, order or position differs */
	LOCKSTEP_EVENT_POWEROFF = 34,	/* the guest powered off (executed here) */
	LOCKSTEP_EVENT_VMM_GONE = 35,	/* VMM exited without power-off */
	LOCKSTEP_EVENT_WENT_LIVE = 36,	/* the VMM has sent its kept outputs */

	__LOCKSTEP_EVENT_LAST,
};
#define LOCKSTEP_EVENT_MAX	(__LOCKSTEP_EVENT_LAST - 1)

/* ---- 2. the log -------------------------------------------------------- */

/*
 * The log of a guest is a stream of bytes that never restarts.  A log sequence
 * number (LSN) is an offset into it, and always the boundary of a record.
 *
 * Two shapes of record, told apart by the first byte:
 *
 *   short:  type (1), ULEB128 value (1..10)
 *   long:   struct lockstep_record, then @len bytes of payload
 *
 * A clock value is the guest's virtual time in ns, as the difference to the
 * clock value logged before it (0 at the start of the log).  The position of a
 * short record is its place in the log: the next clock read consumes it.
 */
enum lockstep_record_type {
	LOCKSTEP_RECORD_TSC = 1,	/* short: RDTSC or RDTSCP */
	LOCKSTEP_RECORD_TSC_STOP = 2,	/* short: the same, then back to the VMM */
	LOCKSTEP_RECORD_CLOCK = 3,	/* short: a device read the clock */
	__LOCKSTEP_RECORD_SHORT_LAST,

	LOCKSTEP_RECORD_INPUT = 16,	/* @unit: device, @kind: the VMM's own */
	LOCKSTEP_RECORD_OUTPUT = 17,	/* @unit: stream; struct lockstep_output_rec */
	LOCKSTEP_RECORD_DIGEST = 18,	/* whole-state digest, __le64 [LOCKSTEP_DIGESTS] */
	LOCKSTEP_RECORD_CONTROL = 19,	/* @kind: enum lockstep_control */
	LOCKSTEP_RECORD_WALL = 20,	/* __le64: CLOCK_REALTIME in ns */
	LOCKSTEP_RECORD_FORCED = 21,	/* struct lockstep_forced_rec; a stop, the next one */
	__LOCKSTEP_RECORD_LAST,
};

/* Units of LOCKSTEP_RECORD_INPUT below this are devices of the VMM. */
#define LOCKSTEP_UNITS		64

enum lockstep_control {
	LOCKSTEP_CONTROL_POWEROFF = 1,
};

#define LOCKSTEP_PAYLOAD_MAX	16384	/* bytes of payload of a record */
#define LOCKSTEP_BATCH_MAX	32768	/* bytes of records of a batch */
#define LOCKSTEP_DIGESTS	4

/**
 * struct lockstep_record - head of a long record
 * @type:   enum lockstep_record_type
 * @unit:   device or stream
 * @kind:   what of it
 * @len:    bytes of payload behind the head, at most LOCKSTEP_PAYLOAD_MAX
 * @count:  position: struct lockstep_pos
 * @rip:    position
 * @rcx:    position
 * @digest: xxh64 of the general registers, rip and rflags at the position
 */
struct lockstep_record {
	__u8 type;
	__u8 unit;
	__le16 kind;
	__le32 len;
	__le64 count;
	__le64 rip;
	__le64 rcx;
	__le64 digest;
};

/**
 * struct lockstep_output_rec - payload of LOCKSTEP_RECORD_OUTPUT
 * @index: name of the output in its stream (see enum lockstep_output_stream)
 * @hash:  xxh64 (seed 0) of its bytes
 * @len:   number of its bytes
 */
struct lockstep_output_rec {
	__le64 index;
	__le64 hash;
	__le32 len;
	__le32 reserved;
};

/**
 * struct lockstep_forced_rec - payload of LOCKSTEP_RECORD_FORCED
 * @events:       of the guest's counter since stop @count: the position
 * @instructions: about so many since then, if it counts something else: a hint;
 *		  0: not known
 */
struct lockstep_forced_rec {
	__le64 events;
	__le64 instructions;
};

/**
 * struct lockstep_batch - head of a run of whole records, wherever they travel
 * @magic:    LOCKSTEP_BATCH_MAGIC
 * @version:  LOCKSTEP_ABI_VERSION
 * @counter:  enum lockstep_counter
 * @len:      bytes of records behind the head, at most LOCKSTEP_BATCH_MAX;
 *	      0 for a batch that only carries @horizon and @released
 * @reserved: 0
 * @lsn:      LSN of the first byte
 * @horizon:  no INPUT or FORCED after this batch has a position count below it: a
 *	      PROGRESS report. The twin runs no further than it knows.
 * @clock:    virtual time of the primary when the batch was made, ns
 * @released: per stream, the index of the last output that was handed to the
 *	      outside world (follows the hand-over, never precedes it)
 * @check:    xxh64 of the records, its seed the xxh64 (seed 0) of the head with
 *	      @check 0
 */
struct lockstep_batch {
	__le32 magic;
	__le16 version;
	__le16 counter;
	__le32 len;
	__le32 reserved;
	__le64 lsn;
	__le64 horizon;
	__le64 clock;
	__le64 released[LOCKSTEP_STREAMS];
	__le64 check;
};
#define LOCKSTEP_BATCH_MAGIC	0x6b74534cU	/* "LStk" */

/**
 * struct lockstep_ack - what the backup's module has, cumulative
 * @lsn:      all bytes below are held by the module of the backup
 * @executed: all bytes below were consumed by the twin
 * @clock:    virtual time of the twin, ns
 * @released: the largest @released values seen
 * @room:     bytes that the backup's log can still take
 */
struct lockstep_ack {
	__le64 lsn;
	__le64 executed;
	__le64 clock;
	__le64 released[LOCKSTEP_STREAMS];
	__le64 room;
};

/* A log file is "LOCKSTEP" (8 bytes), __le32 version, __le32 0, 16 bytes UUID
 * of the guest, 16 bytes instance, then batches.  A batch of length 0 whose
 * @horizon is ~0 closes it; a file without one was cut short.
 */
#define LOCKSTEP_FILE_MAGIC	"LOCKSTEP"

/* ---- 3. /dev/lockstep ---------------------------------------------------- */

/*
 * A VMM opens /dev/lockstep once per guest, attaches its VM and vCPU, maps the
 * page, and from then on asks LOCKSTEP_NEXT before the first KVM_RUN and after
 * every return of KVM_RUN.  All calls but poll and LOCKSTEP_RELEASED are made
 * by the thread that runs the vCPU.  Closing the file ends the protection: as
 * VMM_GONE, unless the guest has powered off.
 */

enum lockstep_role {
	LOCKSTEP_ROLE_PRIMARY = 0,
	LOCKSTEP_ROLE_TWIN = 1,
};

/* Do not run the guest before it is protected (else it starts alone). */
#define LOCKSTEP_ATTACH_WAIT	(1U << 0)

/**
 * struct lockstep_attach - LOCKSTEP_ATTACH
 * @size:      sizeof(struct lockstep_attach), for growth
 * @flags:     LOCKSTEP_ATTACH_*
 * @vm_fd:     KVM VM
 * @vcpu_fd:   its only vCPU
 * @notify_fd: eventfd, or -1: signalled when the shared page has news
 * @role:      enum lockstep_role, the side it starts on
 * @log_size:  bytes of log to hold, a power of two from 64 KiB to 1 GiB;
 *	       0: the module's default
 * @reserved:  0
 * @name:      NUL-terminated, unique on the host: [A-Za-z0-9._-], no leading dot
 * @output_dev: network device whose ingress is gated, or empty
 * @uuid:      identity of the guest, the same on both hosts
 * @instance:  out: identity of this attachment, minted here
 * @id:        out: number of the guest in the netlink family
 * @counter:   out: enum lockstep_counter
 *
 * Errors: EPERM (no CAP_SYS_ADMIN), EINVAL (a field is out of range), EBADF
 * (not KVM's descriptors), EEXIST (name taken), EBUSY (VM already attached or
 * running, or this file has one), ENODEV (no such output device), EOPNOTSUPP (the VM can't
 * be served: more than one vCPU, in-kernel irqchip, intercepted PAUSE, ...: the
 * kernel log says which).
 */
struct lockstep_attach {
	__u32 size;
	__u32 flags;
	__s32 vm_fd;
	__s32 vcpu_fd;
	__s32 notify_fd;
	__u32 role;
	__u32 log_size;
	__u32 reserved;
	char name[LOCKSTEP_NAME_MAX];
	char output_dev[16];
	__u8 uuid[LOCKSTEP_UUID_LEN];
	__u8 instance[LOCKSTEP_UUID_LEN];
	__u32 id;
	__u32 counter;
};

/**
 * enum lockstep_verdict - what the VMM is to do next
 * @LOCKSTEP_VERDICT_LIVE: offer the inputs that wait (LOCKSTEP_INPUT, then
 *	apply), then enter the guest
 * @LOCKSTEP_VERDICT_ENTER: a twin with nothing (more) here: enter the guest
 * @LOCKSTEP_VERDICT_APPLY: a twin: apply this input and ask again
 * @LOCKSTEP_VERDICT_GO_LIVE: this twin has won: send the kept outputs above
 *	the released index of each stream, re-issue pending I/O, announce the
 *	MAC, ask again (the answer is LIVE from then on)
 * @LOCKSTEP_VERDICT_HALT: this instance is over: end without output
 * @LOCKSTEP_VERDICT_POWEROFF: a twin whose primary powered off in order: end
 * @LOCKSTEP_VERDICT_KEEP: (LOCKSTEP_OUTPUT) a twin: keep the output until
 *	the page's released index passes it
 * @LOCKSTEP_VERDICT_SEND: (LOCKSTEP_OUTPUT) frames: write to the tap now, the
 *	gate holds them; bytes: hand over once @lsn <= the page's @acked or the
 *	page's @gate is open, then LOCKSTEP_RELEASED
 */
enum lockstep_verdict {
	LOCKSTEP_VERDICT_LIVE = 0,
	LOCKSTEP_VERDICT_ENTER = 1,
	LOCKSTEP_VERDICT_APPLY = 2,
	LOCKSTEP_VERDICT_GO_LIVE = 3,
	LOCKSTEP_VERDICT_HALT = 4,
	LOCKSTEP_VERDICT_POWEROFF = 5,
	LOCKSTEP_VERDICT_KEEP = 6,
	LOCKSTEP_VERDICT_SEND = 7,
};

/* KVM_RUN has returned at a deterministic exit (anything but -EINTR): count it.
 * Set once per return, on the first LOCKSTEP_NEXT after it.
 */
#define LOCKSTEP_NEXT_STOP	(1U << 0)
/* The vCPU is halted: the primary's log is flushed, time may pass. */
#define LOCKSTEP_NEXT_IDLE	(1U << 1)

/**
 * struct lockstep_next - LOCKSTEP_NEXT: what is next here?
 * @flags:   in: LOCKSTEP_NEXT_*
 * @verdict: out: LIVE, ENTER, APPLY, GO_LIVE, HALT or POWEROFF
 * @unit:    out (APPLY): device
 * @kind:    out (APPLY): the kind the primary's VMM gave
 * @len:     in: room at @data; out (APPLY): bytes of payload
 * @data:    in: pointer to room for a payload
 * @clock:   out (LIVE): the virtual clock, ns, as LOCKSTEP_CLOCK_PEEK gives it
 *
 * Sleeps while the answer is not known. Errors: EINTR (ask again, without
 * LOCKSTEP_NEXT_STOP), ENOSPC (@data is too small, @len says what it takes),
 * EFAULT.
 */
struct lockstep_next {
	__u32 flags;
	__u32 verdict;
	__u16 unit;
	__u16 kind;
	__u32 len;
	__u64 data;
	__u64 clock;
};

/**
 * struct lockstep_input - LOCKSTEP_INPUT: log one input at this stop (LIVE only)
 * @unit:     device, below LOCKSTEP_UNITS
 * @kind:     of the VMM's own
 * @len:      bytes of payload, at most LOCKSTEP_PAYLOAD_MAX
 * @data:     pointer to the payload
 *
 * Apply it only after it returns 0.  Sleeps while the log is full or the
 * instance is parked. Errors: EINTR (try again), ESHUTDOWN (ask LOCKSTEP_NEXT:
 * the instance is not live any more), EINVAL, EFAULT.
 */
struct lockstep_input {
	__u16 unit;
	__u16 kind;
	__u32 len;
	__u64 data;
};

enum lockstep_clock_kind {
	LOCKSTEP_CLOCK_VIRTUAL = 0,	/* ns since the guest's start */
	LOCKSTEP_CLOCK_WALL = 1,	/* CLOCK_REALTIME, ns */
};

/**
 * struct lockstep_clock - LOCKSTEP_CLOCK: one clock value for a device
 * @kind:  enum lockstep_clock_kind
 * @flags: 0, or LOCKSTEP_CLOCK_PEEK: a value for the host side only (when does
 *	   a timer fire?): not logged, LIVE only, must not reach the guest
 * @ns:    out
 *
 * On the primary the value is taken and logged, on the twin it is the logged
 * one. The guest's TSC is the virtual clock at LOCKSTEP_TSC_KHZ.  Errors: EINTR,
 * ESHUTDOWN (the instance was parked for good: ask LOCKSTEP_NEXT), EILSEQ (a
 * twin: the log has something else here: it has diverged).
 */
struct lockstep_clock {
	__u32 kind;
	__u32 flags;
	__u64 ns;
};
#define LOCKSTEP_CLOCK_PEEK	(1U << 0)
#define LOCKSTEP_TSC_KHZ	1000000	/* of every protected guest: 1 tick is 1 ns */

/**
 * struct lockstep_output - LOCKSTEP_OUTPUT: the guest made an output
 * @stream:  enum lockstep_output_stream
 * @len:     its bytes
 * @index:   its name in the stream
 * @hash:    xxh64 (seed 0) of its bytes
 * @lsn:     out (SEND): may leave once the backup holds the log up to here
 * @verdict: out: KEEP or SEND
 * @reserved: 0
 *
 * Called on the vCPU's thread, at the stop that made it, before it is sent.
 * A twin's output is compared with the log. Errors: EINTR, ESHUTDOWN, EILSEQ
 * (it differs: diverged), EINVAL.
 */
struct lockstep_output {
	__u32 stream;
	__u32 len;
	__u64 index;
	__u64 hash;
	__u64 lsn;
	__u32 verdict;
	__u32 reserved;
};

/**
 * struct lockstep_released - LOCKSTEP_RELEASED: byte stream handed over
 * @stream: LOCKSTEP_STREAM_SERIAL or LOCKSTEP_STREAM_CONSOLE
 * @reserved: 0
 * @index:  offset behind the last byte handed over (any thread may call)
 */
struct lockstep_released {
	__u32 stream;
	__u32 reserved;
	__u64 index;
};

/**
 * struct lockstep_digest - LOCKSTEP_DIGEST: digests of the whole state here
 * @digest: the VMM's: registers, memory, devices, disks
 *
 * Logged on the primary; compared on the twin (EILSEQ: diverged).
 */
struct lockstep_digest {
	__u64 digest[LOCKSTEP_DIGESTS];
};

/**
 * struct lockstep_page - one page, shared with the VMM through mmap at offset 0
 * @version:  LOCKSTEP_ABI_VERSION
 * @state:    enum lockstep_state
 * @gate:     1: outputs may leave unconditionally
 * @reserved: 0
 * @acked:    outputs with @lsn up to here may leave
 * @released: twin: kept outputs up to here may be dropped; primary: released
 *	      indexes that the backup has acknowledged (bound on duplicates)
 * @deadline: VMM: virtual time at which it wants the vCPU back (~0: none)
 * @kick:     VMM, any thread: not 0: an input waits, wants the vCPU back
 *
 * The first group is the module's, the second the VMM's.  The module trusts
 * nothing in it.
 */
struct lockstep_page {
	__u32 version;
	__u32 state;
	__u32 gate;
	__u32 reserved;
	__u64 acked;
	__u64 released[LOCKSTEP_STREAMS];

	__u64 deadline __attribute__((aligned(64)));
	__u32 kick;
};

#define LOCKSTEP_IOC_MAGIC	0xB7
#define LOCKSTEP_ATTACH		_IOWR(LOCKSTEP_IOC_MAGIC, 0x00, struct lockstep_attach)
#define LOCKSTEP_NEXT		_IOWR(LOCKSTEP_IOC_MAGIC, 0x01, struct lockstep_next)
#define LOCKSTEP_INPUT		_IOW(LOCKSTEP_IOC_MAGIC, 0x02, struct lockstep_input)
#define LOCKSTEP_CLOCK		_IOWR(LOCKSTEP_IOC_MAGIC, 0x03, struct lockstep_clock)
#define LOCKSTEP_OUTPUT		_IOWR(LOCKSTEP_IOC_MAGIC, 0x04, struct lockstep_output)
#define LOCKSTEP_RELEASED	_IOW(LOCKSTEP_IOC_MAGIC, 0x05, struct lockstep_released)
#define LOCKSTEP_DIGEST		_IOW(LOCKSTEP_IOC_MAGIC, 0x06, struct lockstep_digest)
/* The guest powered off: logged on the primary, compared on the twin. Then ask
 * LOCKSTEP_NEXT: it answers POWEROFF once every output has left and the daemon
 * has CLOSED recorded (or at once where there is no daemon and no backup).
 */
#define LOCKSTEP_POWEROFF	_IO(LOCKSTEP_IOC_MAGIC, 0x07)

/* Twin: the VMM found its start state or a disk to differ (EILSEQ is returned).
 * The first two digests are what the log wants and what is here.
 */
#define LOCKSTEP_MISMATCH	_IOW(LOCKSTEP_IOC_MAGIC, 0x08, struct lockstep_digest)

/* Any thread: an input waits (the page's @kick is set), have the guest stop for it:
 * if it does not by itself soon (the module's parameter hold_us), at a forced position.
 * NEXT with LOCKSTEP_NEXT_STOP ends all kicks before it: who leaves an input for the next
 * stop kicks again before KVM_RUN.
 */
#define LOCKSTEP_KICK		_IO(LOCKSTEP_IOC_MAGIC, 0x09)

/* A stop that the module makes (at a clock read, or at a forced position) shows as this exit reason, with
 * KVM_RUN returning 0 (KVM_EXIT_INTR): it is a deterministic exit.
 */

/* ---- 4. generic netlink --------------------------------------------------- */

#define LOCKSTEP_GENL_NAME	"lockstep"
#define LOCKSTEP_GENL_VERSION	1
#define LOCKSTEP_GENL_EVENTS	"events"	/* multicast group */

/*
 * All commands need CAP_NET_ADMIN.  A daemon dumps the guests, binds to those it
 * serves, and then gets their log (primary) or acks (backup) on the same
 * socket, unicast.  It has to send something for a bound guest at least every
 * LOCKSTEP_DAEMON_SILENCE_MS / 2, or the guest is orphaned; closing the
 * socket unbinds.
 */
enum lockstep_cmd {
	LOCKSTEP_CMD_UNSPEC = 0,
	LOCKSTEP_CMD_GUEST_GET = 1,	/* do (A_ID or A_NAME) and dump; reply: all A_* of the guest */
	LOCKSTEP_CMD_BIND = 2,		/* do: A_ID. EBUSY: another socket has it */
	LOCKSTEP_CMD_ALIVE = 3,		/* do: A_ID: the daemon lives */
	LOCKSTEP_CMD_EVENT = 4,		/* do: A_ID, A_EVENT, [A_GENERATION, A_PEER] */
	LOCKSTEP_CMD_FEED = 5,		/* do: A_ID, A_GENERATION, A_PEER, A_BATCH: a twin's log;
					 * EAGAIN: no room, an ACK follows when there is; ESTALE:
					 * not this generation, instance or state; ERANGE: a hole
					 */
	LOCKSTEP_CMD_ACKED = 6,		/* do: A_ID, A_GENERATION, A_PEER, A_ACK: the backup's ack */
	LOCKSTEP_CMD_REWIND = 7,	/* do: A_ID, A_LSN: send the log again from there (ERANGE) */
	LOCKSTEP_CMD_LOG = 8,		/* ntf, unicast: A_ID, A_GENERATION, A_INSTANCE, A_BATCH */
	LOCKSTEP_CMD_ACK = 9,		/* ntf, unicast: A_ID, A_GENERATION, A_INSTANCE, A_ACK */
	LOCKSTEP_CMD_STATE = 10,	/* ntf, multicast: A_ID, A_NAME, A_UUID, A_INSTANCE, A_STATE,
					 * A_OLD_STATE, A_EVENT, A_GENERATION, A_FLAGS, [A_DIVERGENCE...]
					 */
	LOCKSTEP_CMD_SET = 11,		/* do: A_ID, A_LAG_LIMIT...: tunables, as in sysfs */

	__LOCKSTEP_CMD_LAST,
};
#define LOCKSTEP_CMD_MAX	(__LOCKSTEP_CMD_LAST - 1)

/* A_FLAGS of LOCKSTEP_CMD_STATE and GUEST_GET */
#define LOCKSTEP_FLAG_DRAINED	(1U << 0)	/* CONTEST_B: all executed, clean: may claim;
						 * STOPPING: all released, twin too has
						 * executed all: may close; SWITCHING: and the
						 * twin knows it: may ask it to go live
						 */
#define LOCKSTEP_FLAG_CLAIMED	(1U << 1)	/* a claim may have left */
#define LOCKSTEP_FLAG_POWEROFF	(1U << 2)	/* the guest has powered off */
#define LOCKSTEP_FLAG_TWIN	(1U << 3)	/* attached with LOCKSTEP_ROLE_TWIN */
#define LOCKSTEP_FLAG_WAIT	(1U << 4)	/* attached with LOCKSTEP_ATTACH_WAIT */
#define LOCKSTEP_FLAG_LOG_FULL	(1U << 5)
#define LOCKSTEP_FLAG_GONE	(1U << 6)	/* the guest was detached: id is dead */
#define LOCKSTEP_FLAG_NEW	(1U << 7)	/* the guest was attached just now */

#define LOCKSTEP_DAEMON_SILENCE_MS	1000	/* default of the sysfs tunable */

enum lockstep_attr {
	LOCKSTEP_A_UNSPEC = 0,
	LOCKSTEP_A_PAD = 1,
	LOCKSTEP_A_ID = 2,		/* u32 */
	LOCKSTEP_A_NAME = 3,		/* string */
	LOCKSTEP_A_UUID = 4,		/* binary 16 */
	LOCKSTEP_A_INSTANCE = 5,	/* binary 16: of this host's attachment */
	LOCKSTEP_A_PEER = 6,		/* binary 16: instance on the other host */
	LOCKSTEP_A_STATE = 7,		/* u32 enum lockstep_state */
	LOCKSTEP_A_OLD_STATE = 8,	/* u32 */
	LOCKSTEP_A_EVENT = 9,		/* u32 enum lockstep_event */
	LOCKSTEP_A_GENERATION = 10,	/* u64 */
	LOCKSTEP_A_FLAGS = 11,		/* u32 */
	LOCKSTEP_A_BATCH = 12,		/* binary: struct lockstep_batch and records */
	LOCKSTEP_A_ACK = 13,		/* binary: struct lockstep_ack */
	LOCKSTEP_A_LSN = 14,		/* u64 */
	LOCKSTEP_A_COUNTER = 15,	/* u32 enum lockstep_counter */
	LOCKSTEP_A_DIVERGENCE = 16,	/* nested: LOCKSTEP_D_* */
	LOCKSTEP_A_STATS = 17,		/* nested: LOCKSTEP_S_*, u64 each */
	LOCKSTEP_A_BOUND = 18,		/* u32: 1 while a daemon is bound */
	LOCKSTEP_A_VMM_PID = 19,	/* u32 */
	LOCKSTEP_A_OUTPUT_DEV = 20,	/* string */
	LOCKSTEP_A_LOG_SIZE = 21,	/* u32 */
	LOCKSTEP_A_LAG_LIMIT_MS = 22,	/* u32: SET: slow the primary above it; 0: never */
	LOCKSTEP_A_SILENCE_MS = 23,	/* u32: SET: daemon silence */
	LOCKSTEP_A_HOLD = 24,		/* binary: u64 each: frames by the time they were held */

	__LOCKSTEP_A_LAST,
};
#define LOCKSTEP_A_MAX	(__LOCKSTEP_A_LAST - 1)

/* Slots of A_HOLD.  Slot i: below (4 + i % 4) << (10 + i / 4) ns, and not in a slot before; the
 * last has no bound (kmod/histogram.h).
 */
#define LOCKSTEP_HOLD_SLOTS	86

enum lockstep_divergence_attr {
	LOCKSTEP_D_UNSPEC = 0,
	LOCKSTEP_D_PAD = 1,
	LOCKSTEP_D_REASON = 2,		/* u32 enum lockstep_divergence */
	LOCKSTEP_D_COUNT = 3,		/* u64: where the twin is */
	LOCKSTEP_D_RIP = 4,		/* u64 */
	LOCKSTEP_D_RCX = 5,		/* u64 */
	LOCKSTEP_D_LSN = 6,		/* u64: the record */
	LOCKSTEP_D_EXPECTED = 7,	/* u64: of the log: digest, hash, type, count, ... */
	LOCKSTEP_D_FOUND = 8,		/* u64 */
	__LOCKSTEP_D_LAST,
};
#define LOCKSTEP_D_MAX	(__LOCKSTEP_D_LAST - 1)

enum lockstep_divergence {
	LOCKSTEP_DIVERGENCE_NONE = 0,
	LOCKSTEP_DIVERGENCE_POSITION = 1,	/* past a logged position: counts */
	LOCKSTEP_DIVERGENCE_RIP = 2,		/* there with another rip or rcx */
	LOCKSTEP_DIVERGENCE_REGISTERS = 3,	/* digests of registers */
	LOCKSTEP_DIVERGENCE_TYPE = 4,		/* another kind of event: record types */
	LOCKSTEP_DIVERGENCE_OUTPUT = 5,		/* hashes of an output, or its index or length */
	LOCKSTEP_DIVERGENCE_STATE = 6,		/* whole-state digest: EXPECTED and FOUND of the first */
	LOCKSTEP_DIVERGENCE_LOG = 7,		/* the log can't be decoded */
	LOCKSTEP_DIVERGENCE_VMM = 8,		/* the VMM says so (start state, disk) */
	LOCKSTEP_DIVERGENCE_STALL = 9,		/* never gets to the next record: its type, ms that it ran */
};

enum lockstep_stat {
	LOCKSTEP_S_UNSPEC = 0,
	LOCKSTEP_S_PAD = 1,
	LOCKSTEP_S_LSN = 2,		/* bytes of log so far (primary: made, twin: received) */
	LOCKSTEP_S_ACKED = 3,		/* bytes acknowledged */
	LOCKSTEP_S_EXECUTED = 4,	/* bytes consumed by the twin */
	LOCKSTEP_S_RECORDS = 5,
	LOCKSTEP_S_TSC = 6,		/* clock records */
	LOCKSTEP_S_INPUTS = 7,
	LOCKSTEP_S_OUTPUTS = 8,
	LOCKSTEP_S_HELD = 9,		/* frames in the gate now */
	LOCKSTEP_S_HELD_MAX = 10,
	LOCKSTEP_S_RELEASED = 11,	/* frames let out by the gate */
	LOCKSTEP_S_HOLD_NS = 12,	/* sum of ns frames were held */
	LOCKSTEP_S_DROPPED = 13,	/* frames dropped in a latched gate */
	LOCKSTEP_S_BATCHES = 14,
	LOCKSTEP_S_ACKS = 15,
	LOCKSTEP_S_LOG_FULL = 16,	/* times the vCPU waited for room */
	LOCKSTEP_S_LAG_BYTES = 17,	/* made but not executed by the twin */
	LOCKSTEP_S_LAG_NS = 18,		/* in the guest's virtual time */
	LOCKSTEP_S_LAG_MAX_NS = 19,
	LOCKSTEP_S_THROTTLE_NS = 20,	/* spent slowing the primary */
	LOCKSTEP_S_CLOCK = 21,		/* virtual time now, ns */
	LOCKSTEP_S_STOPS = 22,		/* position count */
	LOCKSTEP_S_IGNORED_EVENTS = 23,
	LOCKSTEP_S_DIVERGENCES = 24,
	LOCKSTEP_S_DUPLICATES_MAX = 25,	/* largest number of outputs released and not known so */
	LOCKSTEP_S_FORCED = 26,		/* forced positions */
	LOCKSTEP_S_STEPS = 27,		/* twin: entries with a breakpoint on the way to them */
	LOCKSTEP_S_HOLD_MAX_NS = 28,	/* the longest a frame was held */
	LOCKSTEP_S_STEPS_MEDIAN = 29,	/* twin: likewise, median of one; 255: or more */
	__LOCKSTEP_S_LAST,
};
#define LOCKSTEP_S_MAX	(__LOCKSTEP_S_LAST - 1)

#endif /* _UAPI_LINUX_LOCKSTEP_H */
