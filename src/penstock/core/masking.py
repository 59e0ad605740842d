"""What is not to be read by others, masked: passwords in URLs, and in texts that quote URLs.

The patterns are compiled at their first use, since `import penstock` comes by here.
"""

from __future__ import annotations

import re

_MASK = "***"
#: A name and a password before a host, as they are to be written.
_USER = r"(//[^:@/?#\[\]\s]*):[^/?#\s]*@"
#: The same by somebody who wrote a character of a password as it is. A password that is none of those, or a port, and then an @ in
#: the query is another thing.
_CARELESS = (
    r"(?s)\A([^:/?#]*://[^:@/?#\[\]\s]*):"
    r"(?!(?:[^/?#\s@]*@[^@?]+|\d{1,5}(?:,[^@/?]*)?(?:/[^@?#]*)?)(?:\?\w+=|$)).*@"
)
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*://"
#: Without a scheme.
_BARE = r"(?s)\A([^:@/\s]*):.*@"
#: A URL that is the value of another's option, where it is encoded. What repeats has a bound here and below, as a text may be
#: long, and be made to take a long time.
_NESTED = r"(?i)(%2F%2F(?:(?!%3A|%40)[^&\s]){0,200}%3A)[^&\s]{0,2000}(%40)"
#: Options that are secrets: libpq's password and sslpassword, pymongo's tlsCertificateKeyFilePassword, session tokens and so on.
_OPTION = (
    r"(?i)((?:[?&;]|%3F|%26)[\w.]{0,40}(?:password|passwd|pwd|secret|token|authMechanismProperties)\w{0,40}(?:=|%3D))"
    r"(?:(?!%26)[^&;#\s])*"
)
_URL = r"[A-Za-z][A-Za-z0-9+.-]{0,40}://[^\s\"'<>`]+"


def without_password(url: str) -> str:
    """A URL as it may be shown; what is none is masked likewise, as far as it looks like one."""
    if re.match(_SCHEME, url) is None:
        url = re.sub(_BARE, rf"\1:{_MASK}@", url)
    for pattern in (_CARELESS, _USER):
        url = re.sub(pattern, rf"\1:{_MASK}@", url)
    return re.sub(_OPTION, rf"\1{_MASK}", re.sub(_NESTED, rf"\1{_MASK}\2", url))


def without_passwords(text: str) -> str:
    """A text, such as an error's, as it may be kept and shown: without the passwords of the URLs in it."""
    if "://" not in text:
        return text
    return re.sub(_URL, lambda found: without_password(found[0]), text)
