# SPDX-License-Identifier: GPL-2.0
#
# Turn the module's state table (kmod/state.c) into Promela:
#
#   awk -f table.awk kmod/state.c > table.pml
#
# What comes out: the states as an mtype; the rules of each state as macros;
# takes_EVENT(s), true if the event moves a state to another one; and
# event_EVENT(s), which moves the variable s as the module would.
#
# With -v drop=STATE,EVENT that row is left out: a model that needs it must fail.

function word(text, n,	part)
{
	split(text, part, /[(),]/)
	return part[n]
}

/^\tRULE\(/ {
	gsub(/[ \t]/, "")
	gsub(/"/, "")
	split($0, field, /[(),]/)
	state = field[2]
	states = states (states ? ", " : "") state
	gate[field[4]] = gate[field[4]] " || (s) == " state
	vcpu[field[5]] = vcpu[field[5]] " || (s) == " state
	if (/\.logs=true/)
		logs = logs " || (s) == " state
	if (/\.acks=true/)
		acks = acks " || (s) == " state
	if (/\.over=true/)
		over = over " || (s) == " state
	nstates++
	next
}

/^\t\[E\(/ {
	name = word($0, 2)
	names[++nevents] = name
	next
}

/^\t\{ S\(/ {
	gsub(/[ \t{}]/, "")
	split($0, field, /[(),]+/)	# S FREE E COLD_WON S SOLO
	if (field[2] "," field[4] == drop) {
		dropped = 1
		next
	}
	if (field[2] != field[6]) {
		takes[field[4]] = takes[field[4]] " || (s) == " field[2]
		rows[field[4]] = rows[field[4]] sprintf("\t:: s == %s -> s = %s\n", field[2], field[6])
	}
	nrows++
}

function rule(name, test)
{
	printf "#define %s(s)\t(false%s)\n", name, test
}

END {
	if (!nstates || !nrows || !nevents) {
		print "table.awk: no state table found" > "/dev/stderr"
		exit 1
	}
	if (drop && !dropped) {
		print "table.awk: no row " drop > "/dev/stderr"
		exit 1
	}
	print "/* Made of kmod/state.c by table.awk: " nstates " states, " nrows " transitions. */"
	print "mtype:state = { DEAD, " states " };"
	rule("gate_drops", gate["DROP"])
	rule("gate_latched", gate["LATCH"])
	rule("gate_acked", gate["ACKED"])
	rule("gate_open", gate["OPEN"])
	rule("vcpu_runs", vcpu["RUN"])
	rule("vcpu_logs", vcpu["LOG"])
	rule("vcpu_replays", vcpu["REPLAY"])
	rule("logs", logs)
	rule("acks", acks)
	rule("over", over)
	for (i = 1; i <= nevents; i++) {
		name = names[i]
		rule("takes_" name, takes[name])
		printf "inline event_%s(s)\n{\n\tif\n%s", name, rows[name]
		print "\t:: else\t/* not listed: nothing changes */\n\tfi\n}"
	}
}
