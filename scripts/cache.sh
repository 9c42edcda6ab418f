# SPDX-License-Identifier: GPL-2.0
#
# Sourced by the scripts that keep things in the cache: where it is, and how a
# thing comes into being there. Everything in the cache can be made again; a
# directory in it is complete or absent, whatever interrupted its making.

cache=${LOCKSTEP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lockstep}
mkdir -p "$cache"

cache_note()
{
	echo "${0##*/}: $*" >&2
}

# cache_once NAME COMMAND: unless $cache/NAME exists, run COMMAND DIR, which
# fills the empty directory DIR, and give that directory the name. Two runs at
# once do it once: the second waits for the first.
cache_once()
{
	local name=$1 tmp
	shift

	[ ! -e "$cache/$name" ] || return 0
	(
		flock 9
		[ ! -e "$cache/$name" ] || exit 0
		tmp=$cache/.new-$name
		rm -rf "$tmp"
		mkdir "$tmp"
		"$@" "$tmp"
		mv "$tmp" "$cache/$name"
	) 9>"$cache/.lock-$name"
}

# cache_debs DIR PACKAGE...: download packages (Debian's current ones) into DIR.
cache_debs()
{
	local dir=$1
	shift

	cache_note "downloading $*"
	(
		cd "$dir"
		apt-get -q -o APT::Sandbox::User=root download "$@" >apt.log 2>&1 ||
			{ apt-get -q update >>apt.log 2>&1 &&
			  apt-get -q -o APT::Sandbox::User=root download "$@" >>apt.log 2>&1; } || {
			cat apt.log >&2
			cache_note "cannot download $*; check the network and the Debian entries in /etc/apt"
			exit 1
		}
		rm -f apt.log
	)
}

# cache_linux_source DIR [PATTERN...]: Debian's kernel source, or what of it fits a
# pattern (tar's wildcards), into the existing directory DIR.
cache_linux_source()
{
	local dir=$1
	shift

	cache_debs "$dir" linux-source-6.1
	cache_note "unpacking the kernel's source, once"
	dpkg-deb --fsys-tarfile "$dir"/linux-source-*.deb |
		tar -xO ./usr/src/linux-source-6.1.tar.xz |
		tar -xJ -C "$dir" --strip-components=1 --wildcards "$@"
	rm "$dir"/linux-source-*.deb
}
