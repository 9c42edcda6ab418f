/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What mrctl says to a node: the service MR_CONTROL_SERVICE on its Unix socket.
 *
 *	MR_CONTROL_REQUEST	-> {command, ...}
 *	MR_CONTROL_DATA		-> after a submit: bytes of the spec, then of its files
 *	MR_CONTROL_ANSWER	<- bytes of the answer; more follow
 *	MR_CONTROL_END		<- the last bytes of it
 *
 * An answer is {ok: true, ...} or {ok: false, error: TEXT}, with missing: true for a
 * job or node that there is not, away: true for a node that is not connected. Requests of one connection are answered in order.
 *
 *	submit	{spec_bytes}		{job}
 *	list	{}			{jobs: [...]}	of this node
 *	status	{job}			{status: {...}}	as coordinator/job.h has it, with
 *							job, home and output besides
 *	kill	{job}			{}
 *	resume	{job}			{}
 *	nodes	{}			{nodes: [{node, up}]}	this one first
 *
 * A request with a job whose home is elsewhere, or with a node that is another, is
 * passed on there, and so is its answer.
 */
#ifndef LOCKSTEP_MR_CONTROL_H
#define LOCKSTEP_MR_CONTROL_H

#define MR_CONTROL_SERVICE	"mapreduce-control"
#define MR_CONTROL_PIECE	(256 * 1024)	/* most bytes in a message of data or answer */

/* Kinds of messages; never renumber. */
enum mr_control_message {
	MR_CONTROL_REQUEST	= 1,
	MR_CONTROL_DATA		= 2,
	MR_CONTROL_ANSWER	= 3,
	MR_CONTROL_END		= 4,
};

#endif
