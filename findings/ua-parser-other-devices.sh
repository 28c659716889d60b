#!/usr/bin/env bash
# ua-parser 1.0.2 with ua-parser-builtins 202610, CPython 3.11 to 3.13, run on 29 November 2026.
#
# Given the user agents of a console, a television, a car, a Mac's program and an iPad, it finds a browser
# and a system each time, and not those that the device has: a PlayStation 5 is Apple's mail program, an
# Xbox is Windows, a Tesla is Linux, an LG television has a browser of Apple's. One expects nothing, or
# the device. So "known" doesn't mean "right", and a page that shows these words to users who look for a
# device that isn't theirs names others. The strings are from the test data of device-detector (2026-08-19)
# and ua-parser-js (2026-05-02).
#
# Output seen:
#   PlayStation 5: Apple Mail, None
#   Xbox: Edge, Windows
#   LG television: Safari, Web0S
#   Tesla: Chrome, Linux
#   a Mac's program: Self Service+, iOS
#   an iPad's app: Mobile Safari UI/WKWebView, iOS
#
# It fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    ua-parser==1.0.2 ua-parser-builtins==202610
cat > "$folder/run.py" <<'PYTHON'
import ua_parser

DEVICES = {
    "PlayStation 5": "Mozilla/5.0 (PlayStation 5/SmartTV) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Xbox": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox Series X) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/48.0.2564.82 Safari/537.36 Edge/20.02",
    "LG television": "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chr0me/87.0.4280.88 Safari/537.36 LG Browser/8.00.00(LGE; NIK50MEU4STN; 04.42.26; 0x00000001; "
    "DTV_C22P); webOS.TV-2022; LG NetCast.TV-2013 Compatible (LGE, NIK50MEU4STN, wireless)",
    "Tesla": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/102.0.9999.0 Safari/537.36 Tesla/terminal-das-fsd-eap-10-69-25-2-55-a9b5f7cdab",
    "a Mac's program": "Self Service+/7570 CFNetwork/macOS/3860.600.21 Darwin/25.5.0",
    "an iPad's app": "TinyTap/4.2.4 (iPad; iPadOS 15.4.1; Scale/2.00)",
}
SEEN = [
    "PlayStation 5: Apple Mail, None",
    "Xbox: Edge, Windows",
    "LG television: Safari, Web0S",
    "Tesla: Chrome, Linux",
    "a Mac's program: Self Service+, iOS",
    "an iPad's app: Mobile Safari UI/WKWebView, iOS",
]
found = []
for device, user_agent in DEVICES.items():
    result = ua_parser.parse(user_agent)
    browser = result.user_agent and result.user_agent.family
    system = result.os and result.os.family
    found.append(f"{device}: {browser}, {system}")
print("\n".join(found))
assert found == SEEN, found
PYTHON
"$folder/venv/bin/python" "$folder/run.py"
