#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Write a C header with offsets into private structures of kvm-amd and kvm-intel.

    offsets.py --base KERNEL --amd KVM-AMD.KO --intel KVM-INTEL.KO --out HEADER

The structures are declared in arch/x86/kvm, which no headers package holds; their
layout is in the type information (BTF) of the modules. A module's BTF continues the
kernel's: KERNEL is a vmlinuz, a vmlinux or /sys/kernel/btf/vmlinux. Modules may be
compressed. The header is left alone if it would not change. Needs bpftool.

Exit status: 0 written or unchanged, 1 something is missing or not understood.
"""
import argparse
import gzip
import json
import lzma
import os
import subprocess
import sys
import tempfile

# (structure, fields; None: its size) -> LOCKSTEP_<STRUCTURE>_<FIELD>
SVM = (("vcpu_svm", ("vmcb", "tsc_aux")),)
VMX = (("vcpu_vmx", ("exit_reason", "loaded_vmcs", "guest_uret_msrs")),
       ("loaded_vmcs", ("controls_shadow",)),
       ("vmcs_controls_shadow", ("exec",)),
       ("vmx_uret_msr", ("data", None)))


def fail(message):
    sys.exit("offsets.py: " + message)


def zstd(data):
    try:
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False).stdout
    except FileNotFoundError:
        fail("the kernel or a module is compressed with zstd; apt-get install zstd")


# Compression by magic bytes.  A stream may be followed by other bytes.
PACKINGS = (
    (b"\xfd7zXZ\0", lambda data: lzma.LZMADecompressor().decompress(data)),
    (b"\x1f\x8b\x08", lambda data: gzip.zlib.decompressobj(31).decompress(data)),
    (b"\x28\xb5\x2f\xfd", zstd),
)


def read(path, what, remedy):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as e:
        fail(f"cannot read {what} ({path or 'no path given'}: {e.strerror}); {remedy}")


def unpack(data):
    """ELF or raw BTF inside data, or None."""
    for magic in (b"\x7fELF", b"\x9f\xeb"):
        if data.startswith(magic):
            return data
    for magic, unpacker in PACKINGS:
        at = data.find(magic)
        while at >= 0:
            try:
                out = unpacker(data[at:])
            except (lzma.LZMAError, OSError, gzip.zlib.error):
                out = b""
            if out.startswith(b"\x7fELF"):
                return out
            at = data.find(magic, at + 1)
    return None


def structures(directory, base, module, what):
    """Structures by name, from a module's BTF."""
    data = unpack(read(module, what, "install the kernel's modules, or set "
                       f"{what.upper().replace('-', '').replace('.KO', '')}="))
    if data is None:
        fail(f"{module}: neither an ELF file nor one compressed with xz, gzip or zstd")
    path = os.path.join(directory, "module")
    with open(path, "wb") as f:
        f.write(data)
    try:
        done = subprocess.run(["bpftool", "-j", "-B", base, "btf", "dump", "file", path],
                              capture_output=True, check=False)
    except FileNotFoundError:
        fail("bpftool is not installed; apt-get install bpftool (scripts/deps build)")
    try:
        types = json.loads(done.stdout)["types"]
    except (ValueError, KeyError, TypeError):
        fail(f"{module} has no type information that fits the kernel given; both have to be "
             "of one build with CONFIG_DEBUG_INFO_BTF_MODULES. bpftool says: " +
             (done.stdout + done.stderr).decode(errors="replace").strip()[:200])
    return {t["name"]: t for t in types if t["kind"] == "STRUCT"}


def offset(known, structure, field, module):
    if structure not in known:
        fail(f"{module} has no struct {structure}: lockstep does not know this kernel")
    if field is None:
        return known[structure]["size"]
    for member in known[structure]["members"]:
        if member["name"] == field and member["bits_offset"] % 8 == 0:
            return member["bits_offset"] // 8
    fail(f"{module}: struct {structure} has no field {field}: lockstep does not know this kernel")


def table(vendor, wanted, known, module):
    lines, rows = [], []
    for structure, fields in wanted:
        for field in fields:
            value = offset(known, structure, field, module)
            name = f"LOCKSTEP_{structure}_{field or 'size'}".upper()
            lines.append(f"#define {name}\t{value}\n")
            quoted = f'"{field}"' if field else "NULL"
            rows.append(f'\t{{ "{structure}", {quoted}, {name} }},\t\\\n')
    return "".join(lines) + f"#define LOCKSTEP_{vendor}_FIELDS {{\t\\\n" + "".join(rows) + "}\n\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("base", "amd", "intel", "out"):
        parser.add_argument("--" + option, required=True)
    args = parser.parse_args()

    base = unpack(read(args.base, "the kernel image", "install it, or set VMLINUZ="))
    if base is None:
        fail(f"{args.base}: no kernel compressed with xz, gzip or zstd in it; give a vmlinux")
    with tempfile.TemporaryDirectory() as directory:
        base_path = os.path.join(directory, "vmlinux")
        with open(base_path, "wb") as f:
            f.write(base)
        text = ("/* SPDX-License-Identifier: GPL-2.0 */\n"
                "/* Generated by offsets.py from the type information of KVM's modules. */\n"
                "#ifndef _LOCKSTEP_KVM_OFFSETS_H\n#define _LOCKSTEP_KVM_OFFSETS_H\n\n")
        text += table("SVM", SVM, structures(directory, base_path, args.amd, "kvm-amd.ko"),
                      args.amd)
        text += table("VMX", VMX, structures(directory, base_path, args.intel, "kvm-intel.ko"),
                      args.intel)
        text += "#endif\n"

    try:
        with open(args.out, encoding="ascii") as f:
            if f.read() == text:
                return
    except OSError:
        pass
    with open(args.out + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.replace(args.out + ".new", args.out)


main()
