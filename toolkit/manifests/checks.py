"""What a user may write into a manifest: checked here, for the cluster would say it later and worse.

A value that passes can neither end a comment nor start another line.
"""

from __future__ import annotations

import re

from toolkit.errors import CallError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_SUBDOMAIN = 253
_SELECTOR = re.compile(r"[A-Za-z0-9!][A-Za-z0-9._/!=(), -]*")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*")
_QUANTITY = re.compile(r"[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?")
_PATH = re.compile(r"/[^\x00-\x1f\x7f-\x9f\u2028\u2029]*")
_CONTENT = re.compile(r"scap:[A-Za-z0-9._-]+#[A-Za-z0-9._-]+")
_TIME_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
_MACROS = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 6, _DAYS),
)
"""The fields of a schedule: name, least and greatest value, names that stand for values from the least on."""
ACCOUNT = "barescan"
JOB_ACCOUNT = "barescan-job"
"""Another than that of those who scan from outside: what is applied for a job must not widen the rights of an
account that may touch named pods only, and has tokens in use."""
SCHEME = "k8s-container"
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def label(text: str, what: str, flag: str, longest: int = 63) -> str:
    """Return a name of the kind that namespaces and containers have (RFC 1123 label)."""
    if not _LABEL.fullmatch(text) or len(text) > longest:
        raise CallError(
            f"{text!r} is no name of a {what}",
            f"write {flag} with small letters, digits and -, at most {longest}, neither end a -",
        )
    return text


def subdomain(text: str, what: str, flag: str) -> str:
    """Return a name of the kind that pods and most other objects have (RFC 1123 subdomain)."""
    if not _SUBDOMAIN.fullmatch(text) or len(text) > _LONGEST_SUBDOMAIN:
        raise CallError(
            f"{text!r} is no name of a {what}",
            f"write {flag} with small letters, digits, - and ., at most {_LONGEST_SUBDOMAIN}, "
            "neither at an end",
        )
    return text


def parts(target: str) -> tuple[str, str, str]:
    """Return namespace, pod and container (or nothing for it) of a target's URI; raises CallError."""
    scheme, separator, rest = target.partition("://")
    found = rest.split("/")
    if scheme != SCHEME or not separator or len(found) not in {2, 3} or not all(found):
        raise CallError(f"{target!r} is no container of a pod", f"write {SCHEME}://NAMESPACE/POD[/CONTAINER]")
    namespace, pod, container = [*found, ""][:3]
    label(namespace, "namespace", "--target")
    subdomain(pod, "pod", "--target")
    if container:
        label(container, "container", "--target")
    return namespace, pod, container


def selector(text: str) -> str:
    """Return a label selector; the cluster checks the rest."""
    if not _SELECTOR.fullmatch(text):
        raise CallError(f"{text!r} is no label selector", "write --selector app=web,tier!=test")
    return text


def image(text: str, flag: str) -> str:
    """Return the reference of an image."""
    if not _IMAGE.fullmatch(text):
        raise CallError(f"{text!r} is no name of an image", f"write {flag} REGISTRY/NAME:TAG")
    return text


def number(text: str, flag: str, least: int, most: int, example: int) -> int:
    """Return a whole number within bounds."""
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise CallError(f"{text!r} is no number for {flag}", f"write {flag} {example} ({least} to {most})")
    return int(text)


def quantity(text: str, flag: str) -> str:
    """Return an amount of bytes as Kubernetes writes it."""
    if not _QUANTITY.fullmatch(text):
        raise CallError(f"{text!r} is no amount of bytes", f"write {flag} 1Gi")
    return text


def path(text: str, flag: str, where: str) -> str:
    """Return an absolute path without surprises; `where` says of which file system."""
    if not _PATH.fullmatch(text) or ".." in text.split("/"):
        raise CallError(f"{text!r} is no path {where}", f"write {flag} with an absolute path {where}")
    return text


def profile(text: str) -> str:
    """Return a profile as the scan in a pod finds it: the auditor's content, or a path in the pod."""
    if not text.startswith("/") and not _CONTENT.fullmatch(text):
        raise CallError(
            f"a job has no profile {text!r}" if text else "no profile was named",
            "write --profile scap:NAME#PROFILE-ID, /opt/barescan/profiles/distroless-baseline "
            "(in the image of barescan), or a file of the --config-map: /etc/barescan/FILE",
        )
    return text if text.startswith("scap:") else path(text, "--profile", "in the pod")


def one_of(text: str, flag: str, known: tuple[str, ...]) -> str:
    """Return one of the words there are."""
    if text not in known:
        raise CallError(f"there is no {flag} {text!r}", f"write {flag} with one of {', '.join(known)}")
    return text


def schedule(text: str) -> str:
    """Return when to run, in cron's five fields or as one of its words."""
    if text in _MACROS:
        return text
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise CallError(
            f"{text!r} is no schedule of five fields" if text else "no schedule was named",
            "write --schedule '0 3 * * *' (minute, hour, day of the month, month, day of the week) or @daily",
        )
    for field, (name, least, most, names) in zip(fields, _FIELDS, strict=True):
        if not all(_is_times(part.lower(), least, most, names) for part in field.split(",")):
            also = f" or {names[0]} to {names[-1]}" if names else ""
            raise CallError(
                f"{field!r} is no {name} in the schedule {text!r}",
                f"write {least} to {most}{also}; * for all of them, */5 for every fifth, 1-3, 1,3",
            )
    return " ".join(fields)


def _is_times(part: str, least: int, most: int, names: tuple[str, ...]) -> bool:
    """Tell whether it is one entry of a field: `*`, `3`, `1-3`, each with `/2` or without."""
    times, slash, step = part.partition("/")
    if slash and not (re.fullmatch("[0-9]{1,2}", step) and int(step)):
        return False
    if times in {"*", "?"}:
        return True
    values = [_value(each, least, names) for each in times.split("-")]
    return len(values) <= 2 and values == sorted(values) and least <= values[0] and values[-1] <= most


def _value(text: str, least: int, names: tuple[str, ...]) -> int:
    if text in names:
        return names.index(text) + least
    return int(text) if re.fullmatch("[0-9]{1,2}", text) else -1


def time_zone(text: str) -> str:
    """Return a name of the time zone database; `Local` is none, and Kubernetes refuses it."""
    if not _TIME_ZONE.fullmatch(text) or text.lower() == "local":
        raise CallError(f"{text!r} is no time zone", "write --time-zone Europe/Berlin, or Etc/UTC")
    return text
