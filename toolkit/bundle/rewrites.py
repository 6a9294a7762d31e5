"""Paths compiled into the bundle's programs, changed so that they lead into the bundle and never into a
target.

A loader that reads a target's `ld.so.preload`, a libc that reads its `nsswitch.conf` or message catalogues
(whose translations are format strings), an rpm that reads its macros (which run commands): each is a way for
a target to run code in the auditor (CVE-2019-14271 was one). Environment variables do not close it, as an
audited command may clear them. So the strings themselves are changed, in place and at equal length: extra
slashes fill up, and a string that the compiler has cut in pieces (glibc copies some by 16 bytes) still comes
out as one path. The linker also lets one string be the end of another ("/rpmrc" lies in "/etc/rpmrc",
"locale" in "/usr/share/locale"), so ends stay as they are wherever anything uses them.

Pure functions over bytes: any architecture's files can be rewritten and tested on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

BUNDLE = "/sys/firmware"
NOWHERE = "/proc/0"
"""No process has the number 0, so nothing can ever be found below this; it is short enough to fit anywhere.
"""
_SHELL_FILES = ("~/.bashrc", "~/.profile", "~/.bash_profile", "~/.bash_login", "~/.bash_logout", "~/.inputrc")
"""What bash reads in a home directory, which without HOME is the one of the target's passwd file."""
_LOADABLES = "/usr/local/lib/bash:/usr/lib/bash:/opt/local/lib/bash:/usr/pkg/lib/bash:/opt/pkg/lib/bash"
_TERMINFO = "/etc/terminfo:/lib/terminfo:/usr/share/terminfo"


class RewriteError(Exception):
    """A string that must be rewritten was not found as often as expected."""


@dataclass(frozen=True)
class Rewrite:
    """`old` becomes `new` in every file whose name matches `files`; both are equally long.

    `least` and `most` bound how often `old` may occur in one file (`most` 0: no upper bound). `{triplet}`
    stands for the architecture's directory name, e.g. `aarch64-linux-gnu`.
    """

    files: str
    old: str
    new: str
    least: int = 1
    most: int = 0


def _inside(old: str, place: str, tail: str = "") -> str:
    """Return the path of `place` in the bundle, padded with slashes to the length of `old`."""
    path = BUNDLE + "/" + place
    return path + "/" * (len(old) - len(path) - len(tail)) + tail


def _nowhere(old: str, tail: str = "") -> str:
    """Return a path of the same length that never exists, with `tail` kept."""
    return NOWHERE + "/" * (len(old) - len(NOWHERE) - len(tail)) + tail


def _empty(old: str) -> str:
    """Return `old` as an empty string, the rest of its bytes kept."""
    return "\0" + old[1:]


def rules(triplet: str) -> tuple[Rewrite, ...]:
    """Return every rewrite for one architecture, in the order in which they apply.

    Sources: glibc's elf/dl-load.c, elf/rtld.c, nss/nss_database.c, locale/findlocale.c, iconv/gconv_conf.c,
    nscd/nscd-client.h; rpm's lib/rpmrc.c; OpenSSL's OPENSSLDIR; bash's pathnames.h, shell.c and
    config-top.h; readline's bind.c; ncurses' TERMINFO_DIRS (such files corrupted memory in CVE-2023-29491);
    util-linux' FS_SEARCH_PATH; gawk's AWKPATH; oscap's oscap_acquire.c; shadow's lib/nss.c (which loads the
    module that is named), lib/nscd.c, lib/sssd.c.
    """
    multiarch, lib = f"/usr/lib/{triplet}", f"/lib/{triplet}"
    return (
        Rewrite("ld-linux*", "/etc/ld.so.preload", "/sys/firmware//pre", 1, 2),
        Rewrite("ld-linux*", "/etc/ld.so.cache", "/sys/firmware/lc", 1, 3),
        Rewrite("ld-linux*", *_search_list(triplet), 1, 2),
        Rewrite("libc.so.6", "/etc/nsswitch.co", "/sys/firmware/ns", 1, 3),
        Rewrite("libc.so.6", "/var/run/nscd/so", "/sys/firmware/ns", 1, 3),
        Rewrite("libc.so.6", "/usr/lib/getconf", "/sys/firmware/gc", 1, 2),
        Rewrite("libc.so.6", f"{multiarch}/gconv", _inside(f"{multiarch}/gconv", "lib", "gconv"), 1, 4),
        Rewrite("*", "/usr/lib/locale", "/sys/firmware/l", 0),
        Rewrite("*", "/usr/share/locale", _nowhere("/usr/share/locale", "/locale"), 0),
        Rewrite("libruby-*", *_ruby_load_path(triplet), 1, 1),
        Rewrite("*", multiarch, _inside(multiarch, "lib"), 0),
        Rewrite("*", lib, _inside(lib, "lib"), 0),
        Rewrite("libcrypto.so*", "/usr/lib/ssl", _nowhere("/usr/lib/ssl", "ssl"), 1),
        Rewrite("librpmio.so*", "/usr/lib/rpm", _nowhere("/usr/lib/rpm", "rpm"), 1),
        Rewrite("librpm.so*", "/etc/rpm", _empty("/etc/rpm"), 2),
        Rewrite("librpm_sequoia.so*", "/etc/crypto-policies", _nowhere("/etc/crypto-policies"), 1),
        Rewrite(
            "librpm_sequoia.so*", "/usr/share/crypto-policies", _nowhere("/usr/share/crypto-policies"), 1
        ),
        Rewrite("librpm.so*", "~/.rpmmacros", _nowhere("~/.rpmmacros"), 1, 1),
        Rewrite("librpm.so*", "~/.rpmrc", _nowhere("~/.rpmrc"), 1, 1),
        Rewrite("librpm.so*", "~/.config", _nowhere("~/.config"), 1, 1),
        Rewrite("libpopt.so*", "/etc/popt", _empty("/etc/popt"), 1),
        Rewrite("liblua5*", "/usr/local/", _nowhere("/usr/local/", "/"), 1),
        Rewrite("liblua5*", "/usr/share/lua", _nowhere("/usr/share/lua"), 1),
        Rewrite("liblua5*", "/usr/lib/lua", _nowhere("/usr/lib/lua"), 1),
        Rewrite("libxml2.so*", "/etc/xml/catalog", _nowhere("/etc/xml/catalog", "/catalog"), 1),
        Rewrite("libgcrypt.so*", "/etc/gcrypt/", _empty("/etc/gcrypt/"), 1),
        Rewrite("chage", "/etc/nsswitch.conf", _nowhere("/etc/nsswitch.conf"), 1, 1),
        Rewrite("chage", "/usr/sbin/nscd", _nowhere("/usr/sbin/nscd", "/nscd"), 1, 1),
        Rewrite("chage", "/usr/sbin/sss_cache", _nowhere("/usr/sbin/sss_cache", "/sss_cache"), 1, 1),
        Rewrite("dpkg", "/etc/dpkg", _nowhere("/etc/dpkg"), 1),
        Rewrite("dpkg-query", "/etc/dpkg", _nowhere("/etc/dpkg"), 1),
        Rewrite("bash", "/etc/profile", _empty("/etc/profile"), 1, 1),
        Rewrite("bash", "/etc/bash.bash", _empty("/etc/bash.bash"), 1, 2),
        Rewrite("bash", "/etc/inputrc", _empty("/etc/inputrc"), 1, 1),
        *(Rewrite("bash", f"{file}\0", _nowhere(file) + "\0", 1, 1) for file in _SHELL_FILES),
        Rewrite("bash", "/usr/share/bashdb", _nowhere("/usr/share/bashdb"), 1, 1),
        Rewrite("bash", _LOADABLES, _nowhere(_LOADABLES), 1, 1),
        Rewrite("libreadline.so*", "/etc/inputrc", _empty("/etc/inputrc"), 1, 1),
        Rewrite("libreadline.so*", "~/.inputrc", _nowhere("~/.inputrc"), 1, 1),
        Rewrite("libtinfo.so*", _TERMINFO, _nowhere(_TERMINFO), 1, 1),
        Rewrite("libtinfo.so*", "/etc/terminfo", _nowhere("/etc/terminfo"), 1, 1),
        Rewrite("libmount.so*", "/sbin:/sbin/fs.d", _nowhere("/sbin:/sbin/fs.d", "fs.d"), 1, 1),
        Rewrite("libmount.so*", "/fs.d:/sbin/fs", "/fs.d:/proc/0/", 1, 1),
        Rewrite("diff", "/usr/bin/pr", _nowhere("/usr/bin/pr", "/pr"), 1, 1),
        Rewrite("gawk", "/usr/share/awk", _nowhere("/usr/share/awk"), 1, 1),
        Rewrite("*", "/tmp/oscap.XXXXXX", "./" + "/" * 3 + "oscap.XXXXXX", 0),  # noqa: S108 - not ours
    )


def _search_list(triplet: str) -> tuple[str, str]:
    """Return the loader's default directories (elf/dl-load.c, `system_dirs`) and what takes their place.

    Their lengths are compiled into code, so each keeps its own. The first two lead to the bundle's libraries.
    "/lib/" is too short for any path of ours, and has to start with a slash: cut after it, the name that is
    opened is "/" whatever library is looked for, and a directory is not a library: the search ends there.
    """
    first, second = f"/lib/{triplet}/", f"/usr/lib/{triplet}/"
    old = f"{first}\0{second}\0/lib/\0/usr/lib/\0"
    new = f"{_inside(first, 'lib')}\0{_inside(second, 'lib')}\0/\0\0\0\0\0{_nowhere('/usr/lib/')}\0"
    return old, new


def _ruby_load_path(triplet: str) -> tuple[str, str]:
    """Return Debian's compiled-in load path of Ruby 3.3 and the bundle's (Ruby's loadpath.c)."""
    old = "\0".join(
        (
            "/usr/local/lib/site_ruby/3.3.0",
            f"/usr/local/lib/{triplet}/site_ruby",
            "/usr/local/lib/site_ruby",
            "/usr/lib/ruby/vendor_ruby/3.3.0",
            f"/usr/lib/{triplet}/ruby/vendor_ruby/3.3.0",
            "/usr/lib/ruby/vendor_ruby",
            "/usr/lib/ruby/3.3.0",
            f"/usr/lib/{triplet}/ruby/3.3.0",
            "",
        )
    )
    new = f"{BUNDLE}/lib/ruby/3.3.0\0{BUNDLE}/lib/ruby/3.3.0/{triplet}\0"
    return old, new + "\0" * (len(old) - len(new))


def rewrite(name: str, data: bytes, triplet: str) -> tuple[bytes, dict[str, int]]:
    """Return the file's new content and how often each string was changed in it.

    Raises RewriteError when a count is out of bounds: a new version of the program keeps the path elsewhere,
    and somebody must look before the bundle can be trusted again.
    """
    counts: dict[str, int] = {}
    for rule in rules(triplet):
        if not fnmatchcase(name, rule.files):
            continue
        old, new = rule.old.encode("latin-1"), rule.new.encode("latin-1")
        if len(old) != len(new):
            raise RewriteError(f"{rule.old!r} and {rule.new!r} differ in length")
        found = data.count(old)
        if found < rule.least or (rule.most and found > rule.most):
            raise RewriteError(
                f"{name}: {rule.old!r} occurs {found} times, expected {rule.least} to {rule.most or 'any'}"
            )
        if found:
            data = data.replace(old, new)
            counts[rule.old] = found
    return data, counts
