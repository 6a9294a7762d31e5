"""What goes into the bundle: Debian packages, programs, parts of the Python and Ruby libraries, SCAP content.

Lists only, no logic, so that a question of "is X in there" is answered by reading one file.
"""

from __future__ import annotations

SUITE = "trixie"


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PACKAGES = (
    "acl",
    "bash",
    "coreutils",
    "diffutils",
    "e2fsprogs",
    "findutils",
    "gawk",
    "grep",
    "gzip",
    "hostname",
    "iproute2",
    "kmod",
    "libc-bin",
    "libcap2-bin",
    "mount",
    "openscap-scanner",
    "passwd",
    "procps",
    "python3",
    "rpm",
    "ruby3.3",
    "sed",
    "ssg-debderived",
    "ssg-debian",
    "tar",
    "util-linux",
)
"""Packages whose files are copied (with those they depend on)."""

TOOLS = ("binutils", "ca-certificates", "gcc", "libc6-dev", "make", "patchelf", "ruby3.3-dev")
"""Packages that only work on the bundle and stay behind; make and Ruby's headers build native gems."""

PROGRAMS: dict[str, tuple[str, ...]] = {
    "coreutils": _words(
        "[ base64 basename cat cksum comm cut date dd df dirname du echo env expand expr false fold groups "
        "head id join ln ls md5sum mkdir mkfifo mktemp mv cp nl nproc od paste printenv printf pwd readlink "
        "realpath rm rmdir seq sha1sum sha256sum sha512sum sleep sort split stat tac tail tee test timeout "
        "touch tr true truncate tty uname uniq wc who whoami yes"
    ),
    "acl": ("getfacl",),
    "bash": ("bash",),
    "diffutils": ("cmp", "diff"),
    "dpkg": ("dpkg", "dpkg-query"),
    "e2fsprogs": ("lsattr",),
    "findutils": ("find", "xargs"),
    "gawk": ("gawk",),
    "grep": ("grep",),
    "gzip": ("gzip",),
    "hostname": ("hostname",),
    "iproute2": ("ip", "ss"),
    "kmod": ("kmod",),
    "libc-bin": ("getconf", "getent", "iconv", "locale"),
    "libcap2-bin": ("getcap",),
    "mount": ("mount",),
    "openscap-scanner": ("oscap",),
    "passwd": ("chage",),
    "procps": ("free", "pgrep", "ps", "pmap", "pwdx", "sysctl", "uptime", "vmstat", "w"),
    "python3.13-minimal": ("python3.13",),
    "rpm": ("rpm",),
    "sed": ("sed",),
    "sysvinit-utils": ("pidof",),
    "tar": ("tar",),
    "util-linux": ("blkid", "dmesg", "findmnt", "lsblk", "lscpu", "mountpoint", "namei", "rev"),
}
"""Debian package → its programs; a program that a package does not have stops the build."""

AUDITOR = "~> 5.22"
"""The version of CINC Auditor that is fetched where no gems are given: the line the launcher is tested with.
"""

RUBY_PROGRAM = "ruby3.3"

LINKS = {
    "awk": "gawk",
    "sh": "bash",
    "lsmod": "kmod",
    "modinfo": "kmod",
    "modprobe": "kmod",
    "python3": "python3.13",
    "rpmquery": "rpm",
}
"""Other names of those programs, as links inside bin/."""

SCRIPTS = {
    "egrep": '#!/sys/firmware/bin/sh\nexec /sys/firmware/bin/grep -E "$@"\n',
    "fgrep": '#!/sys/firmware/bin/sh\nexec /sys/firmware/bin/grep -F "$@"\n',
    "zcat": '#!/sys/firmware/bin/sh\nexec /sys/firmware/bin/gzip -cd "$@"\n',
    "which": """#!/sys/firmware/bin/sh
# Prints where each command is found in PATH, by mode bits: what is asked about may lie on a noexec mount.
all=
status=0
while getopts a option; do
    case $option in
        a) all=1 ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
is_program() {
    [ -f "$1" ] || return 1
    case $(/sys/firmware/bin/stat -Lc %A -- "$1") in
        *x*|*s*|*t*) return 0 ;;
    esac
    return 1
}
for name; do
    found=
    case $name in
        */*) is_program "$name" && printf '%s\\n' "$name" && found=1 ;;
        ?*)
            set -f
            IFS=:
            for directory in $PATH; do
                candidate=${directory:-.}/$name
                if is_program "$candidate"; then
                    printf '%s\\n' "$candidate"
                    found=1
                    [ "$all" ] || break
                fi
            done
            unset IFS
            set +f
            ;;
    esac
    [ "$found" ] || status=1
done
exit $status
""",
}
"""Small programs of our own. Debian's egrep, zcat and which are shell scripts that look for tools in PATH."""

DLOPENED = ("libgcc_s.so.1",)
"""Libraries that no ELF header names: glibc opens libgcc_s when a thread is cancelled."""

GCONV = ("UTF-16", "UTF-32", "ISO8859-1", "ISO8859-15", "CP1252")
"""glibc's character set modules that are kept; UTF-8, UCS-2, UCS-4 and ASCII are built in."""

GCONV_MODULES = """\
module\tUTF-16//\t\tINTERNAL\t\tUTF-16\t1
module\tINTERNAL\t\tUTF-16//\t\tUTF-16\t1
module\tUTF-16LE//\t\tINTERNAL\t\tUTF-16\t1
module\tINTERNAL\t\tUTF-16LE//\t\tUTF-16\t1
module\tUTF-16BE//\t\tINTERNAL\t\tUTF-16\t1
module\tINTERNAL\t\tUTF-16BE//\t\tUTF-16\t1
module\tUTF-32//\t\tINTERNAL\t\tUTF-32\t1
module\tINTERNAL\t\tUTF-32//\t\tUTF-32\t1
alias\tISO8859-1//\t\tISO-8859-1//
alias\tLATIN1//\t\tISO-8859-1//
module\tISO-8859-1//\t\tINTERNAL\t\tISO8859-1\t1
module\tINTERNAL\t\tISO-8859-1//\t\tISO8859-1\t1
alias\tISO8859-15//\t\tISO-8859-15//
module\tISO-8859-15//\t\tINTERNAL\t\tISO8859-15\t1
module\tINTERNAL\t\tISO-8859-15//\t\tISO8859-15\t1
alias\tWINDOWS-1252//\t\tCP1252//
module\tCP1252//\t\tINTERNAL\t\tCP1252\t1
module\tINTERNAL\t\tCP1252//\t\tCP1252\t1
"""

STUBBED = ("libaudit.so.1", "libcurl.so.4", "libgssapi_krb5.so.2")
"""Libraries of which only an empty shell of our own is shipped. Every function in a shell returns 0, which is
"no handle" to its callers. The engine has no network, and curl and GSSAPI bring TLS, Kerberos and LDAP with
their plugins. Nor has it the kernel's audit socket, without which chage would end before it reads anything;
what it would say there is that somebody changed an account."""

DEFAULTS = {
    "libcrypto.so.3": {"OPENSSL_CONF": "/sys/firmware/etc/openssl.cnf"},
    "librpmio.so.10": {"RPM_CONFIGDIR": "/sys/firmware/lib/rpm"},
    "libopenscap.so.33": {
        "OSCAP_SCHEMA_PATH": "/sys/firmware/share/openscap/schemas",
        "OSCAP_XSLT_PATH": "/sys/firmware/share/openscap/xsl",
        "OSCAP_CPE_PATH": "/sys/firmware/share/openscap/cpe",
    },
}
"""Library → environment variables it finds set when it is loaded, so that `env -i` changes nothing."""

PYTHON_PACKAGES = frozenset(
    _words("collections ctypes encodings importlib json logging pathlib re urllib xml zipfile")
)
"""Packages of Python's standard library that are kept, and all its plain modules, but not these of either:"""

PYTHON_NOT = frozenset(
    _words(
        "_aix_support _android_support _apple_support _distutils_system_mod _ios_support _osx_support "
        "_pydatetime _pydecimal _pyio _pylong _pyrepl antigravity bdb cProfile cgi cgitb code codeop "
        "compileall decimal difflib doctest ensurepip filecmp fractions ftplib imaplib "
        "importlib.metadata logging.config logging.handlers mailbox modulefinder netrc nturl2path numbers "
        "optparse pdb pickletools plistlib poplib profile pstats pty py_compile pyclbr pydoc rlcompleter "
        "sched sitecustomize smtplib socketserver ssl statistics symtable tabnanny this trace tracemalloc "
        "tty turtle urllib.request urllib.robotparser wave webbrowser xml.dom xml.sax zipapp"
    )
)

PYTHON_ENCODINGS = frozenset(
    _words(
        "__init__ aliases ascii charmap cp1252 cp437 idna iso8859_1 iso8859_15 latin_1 punycode "
        "raw_unicode_escape unicode_escape utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le utf_8 "
        "utf_8_sig"
    )
)

PYTHON_EXTENSIONS = ("_bz2", "_contextvars", "_ctypes", "_lzma", "_queue", "mmap", "resource", "termios")

RUBY_NOT = frozenset(
    _words(
        "bundler did_you_mean drb error_highlight irb kconv mkmf nkf prism rdoc reline rinda ripper ruby_vm "
        "syntax_suggest un xmlrpc"
    )
)
"""Parts of Ruby's standard library left out (a name covers NAME/, NAME.rb and NAME.so). Of RubyGems:"""

RUBYGEMS_NOT = ("rubygems/commands/", "rubygems/defaults/operating_system.rb", "rubygems/ssl_certs/")
"""…its command line and Debian's changes to its directories."""

RUBY_ENCODINGS = (
    "encdb.so",
    "iso_8859_1.so",
    "iso_8859_15.so",
    "utf_16be.so",
    "utf_16le.so",
    "utf_32be.so",
    "utf_32le.so",
    "windows_1252.so",
    "trans/single_byte.so",
    "trans/transdb.so",
    "trans/utf_16_32.so",
    "trans/utf8_mac.so",
)

CONTENT = {
    "debian12": "ssg-debian12-ds.xml",
    "ubuntu2204": "ssg-ubuntu2204-ds.xml",
}
"""Name in `scap:NAME` → SCAP Security Guide's data stream."""

NSSWITCH = "".join(
    f"{database}: files\n"
    for database in (
        "passwd",
        "group",
        "shadow",
        "gshadow",
        "hosts",
        "networks",
        "protocols",
        "services",
        "ethers",
        "rpc",
        "netgroup",
    )
)
"""Which sources glibc asks for names: files only. Others would be modules, and those would come from the
target."""

OPENSSL_CONFIG = """\
openssl_conf = default
[default]
providers = providers
[providers]
default = active
[active]
activate = 1
"""

RPM_MACROS = r"""
# A verify script of a package is code of the target: without a place for a temporary file none is run.
%_tmppath /proc/0
# A target's database lies in /var, or where its /usr is (Fedora). SQLite in WAL mode, which rpm uses, wants
# to write beside a database that it only reads: so a copy in the scratch directory is queried.
%_dbpath %{lua:
  local scratch = "/sys/firmware/tmp/rpm"
  local function exists(path)
    local file = io.open(path)
    if file then file:close() end
    return file ~= nil
  end
  local function copy(from, to)
    local input = io.open(from, "rb")
    if not input then return true end
    local partial = to .. "." .. posix.getprocessid("pid")
    local output = io.open(partial, "wb")
    local whole = output ~= nil
    while whole do
      local block = input:read(1048576)
      if not block then break end
      whole = output:write(block) ~= nil
    end
    input:close()
    if output then whole = output:close() and whole end
    if whole then os.rename(partial, to) else os.remove(partial) end
    return whole
  end
  local place = "/var/lib/rpm"
  for _, name in ipairs({"rpmdb.sqlite", "Packages.db", "Packages"}) do
    if exists("/usr/lib/sysimage/rpm/" .. name) then place = "/usr/lib/sysimage/rpm" end
  end
  local name = "/rpmdb.sqlite"
  if exists(place .. name) and not exists(scratch .. name) then
    posix.mkdir(scratch)
    if copy(place .. name .. "-wal", scratch .. name .. "-wal") then copy(place .. name, scratch .. name) end
  end
  print(exists(scratch .. name) and scratch or place)
}
"""
"""Added to rpm's own macros: where a target's package database may lie, and that no script of it is run."""

MOUNT_POINTS = ("job", "tmp", "empty")
