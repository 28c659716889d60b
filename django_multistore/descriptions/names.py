"""
Which apps, browsers, systems and devices are known by which parts of a user agent.

All keys are in lower case. The strings that they stand for are in tests/descriptions, each with
its source.
"""

from __future__ import annotations

from .kinds import Kind

# An app, by the name of a product of its own. The first of a user agent's that is here counts, but
# for those of LATER: a family of apps shares them, or another app's browser has them as well.
APPS = {
    "alipayclient": "Alipay",
    "aweme": "Douyin",
    "barcelona": "Threads",
    "code": "Visual Studio Code",
    "discord": "Discord",
    "instagram": "Instagram",
    "kakaotalk": "KakaoTalk",
    "line": "LINE",
    "linkedinapp": "LinkedIn",
    "musical_ly": "TikTok",
    "pinterest": "Pinterest",
    "reddit": "Reddit",
    "slack_ssb": "Slack",
    "snapchat": "Snapchat",
    "spotify": "Spotify",
    "teams": "Microsoft Teams",
    "teamsmobile-ios": "Microsoft Teams",
    "teamsmobile-android": "Microsoft Teams",
    "telegram-android": "Telegram",
    "tiktok": "TikTok",
    "trill": "TikTok",
    "twitter": "X (Twitter)",
    "twitterandroid": "X (Twitter)",
    "viber": "Viber",
    "weibo": "Weibo",
    "whatsapp": "WhatsApp",
    "whatsappelectron": "WhatsApp",
    "wxwork": "WeCom",
    "zalo": "Zalo",
}
LATER = {
    "bytedancewebview": "TikTok",
    "gsa": "Google app",
    "fb_iab": "Facebook",
    "fban": "Facebook",
    "fbav": "Facebook",
    "micromessenger": "WeChat",
}
# Facebook's apps say in this product's version which of them it is.
FACEBOOK_APPS = {
    "messenger": "Messenger",
    "messengerforios": "Messenger",
    "orca-android": "Messenger",
}

# A browser, by a product that ua-parser doesn't know, or calls otherwise than its users do. The
# first that a user agent has counts.
BROWSERS = {
    "brave": "Brave",
    "ddg": "DuckDuckGo",
    "duckduckgo": "DuckDuckGo",
    "epiphany": "GNOME Web",
    "heytapbrowser": "HeyTap Browser",
    "honorbrowser": "Honor Browser",
    "huaweibrowser": "Huawei Browser",
    "ladybird": "Ladybird",
    "miuibrowser": "MIUI Browser",
    "picobrowser": "PICO Browser",
    "oculusbrowser": "Meta Quest Browser",
    "oprgx": "Opera GX",
    "opx": "Opera GX",
    "silk": "Silk",
    "vivaios": "Vivaldi",
    "vivobrowser": "Vivo Browser",
    "wolvic": "Wolvic",
    "xiaomi": "MIUI Browser",
}
# Browsers of phones: one that says that it is on Linux was asked for the desktop's pages.
ONLY_ON_ANDROID = frozenset(("heytapbrowser", "miuibrowser", "opt", "opx", "vivobrowser", "xiaomi"))
# A browser, by two words of which the second has its version.
BROWSERS_OF_TWO_WORDS = {
    ("lg", "browser"): "LG Browser",
    ("samsung", "browser"): "Samsung Internet",
}

# What a script, a command-line client or a library sends, by its first product.
PROGRAMS = {
    "aiohttp": "Python aiohttp",
    "apache-httpclient": "Apache HttpClient",
    "axios": "axios",
    "curl": "curl",
    "dart": "Dart",
    "go-http-client": "Go",
    "got": "got",
    "guzzlehttp": "Guzzle",
    "httpie": "HTTPie",
    "insomnia": "Insomnia",
    "java": "Java",
    "jakarta commons-httpclient": "Apache HttpClient",
    "libwww-perl": "libwww-perl",
    "node-fetch": "node-fetch",
    "okhttp": "okhttp",
    "php": "PHP",
    "postmanruntime": "Postman",
    "powershell": "PowerShell",
    "python": "Python",
    "python-httpx": "HTTPX",
    "python-requests": "Python Requests",
    "python-urllib": "Python urllib",
    "python-urllib3": "urllib3",
    "ruby": "Ruby",
    "scrapy": "Scrapy",
    "undici": "undici",
    "wget": "Wget",
    "windowspowershell": "PowerShell",
}

# Of these, those that come after the product that all browsers begin with, or after a language's.
LATER_PROGRAMS = frozenset(("aiohttp", "powershell", "windowspowershell"))

# What these are, ua-parser says of other things too: of apps' windows with a page, and of browsers
# that are built from the same engine.
GENERIC = frozenset(
    (
        "Android",
        "Apple Mail",
        "CFNetwork",
        "Chrome",
        "Chromium",
        "Electron",
        "HbbTV",
        "NetFront NX",
        "Odin",
        "QtCarBrowser",
        "Safari",
    )
)
# Families of ua-parser for windows of apps that don't give their names.
WINDOWS_OF_APPS = frozenset(("Chrome Mobile WebView", "Mobile Safari UI/WKWebView"))
# Parts of a family that say what the system does, or nothing to its user.
DROPPED = frozenset(("Android", "Mobile", "iOS", "WebView", "UI/WKWebView"))
FAMILIES = {
    "ATV OS X": "tvOS",
    "Amazon Silk": "Silk",
    "BlackBerry WebKit": "BlackBerry Browser",
    "Chrome OS": "ChromeOS",
    "Chromecast Linux": "Chromecast",
    "Epiphany": "GNOME Web",
    "GoogleTV": "Google TV",
    "IE": "Internet Explorer",
    "MiuiBrowser": "MIUI Browser",
    "Mac OS X": "macOS",
    "MobileSafari": "Safari",
    "Oculus Browser": "Meta Quest Browser",
    "Other": "",
    "QQ Browser Mini": "QQ Browser",
    "Slack Desktop Client": "Slack",
    "Steam Client": "Steam",
    "Steam GameOverlay": "Steam",
    "Twitter": "X (Twitter)",
    "WatchOS": "watchOS",
    "WeChat Browser": "WeChat",
    "Web0S": "webOS",
}

# A device or its system, by how a part of a comment begins, in the order in which they are tried.
DEVICES: tuple[tuple[str, str, Kind], ...] = (
    ("playstation 5", "PlayStation 5", Kind.CONSOLE),
    ("playstation 4", "PlayStation 4", Kind.CONSOLE),
    ("playstation 3", "PlayStation 3", Kind.CONSOLE),
    ("playstation vita", "PlayStation Vita", Kind.CONSOLE),
    ("playstation portable", "PlayStation Portable", Kind.CONSOLE),
    ("psp (playstation portable)", "PlayStation Portable", Kind.CONSOLE),
    ("playstation", "PlayStation", Kind.CONSOLE),
    ("nintendo switch", "Nintendo Switch", Kind.CONSOLE),
    ("nintendo wiiu", "Wii U", Kind.CONSOLE),
    ("nintendo wii", "Wii", Kind.CONSOLE),
    ("new nintendo 3ds", "Nintendo 3DS", Kind.CONSOLE),
    ("nintendo 3ds", "Nintendo 3DS", Kind.CONSOLE),
    ("nintendo dsi", "Nintendo DSi", Kind.CONSOLE),
    ("xbox", "Xbox", Kind.CONSOLE),
    ("valve steam client/steam deck", "Steam Deck", Kind.CONSOLE),
    ("quest 2", "Quest", Kind.GLASSES),
    ("quest 3", "Quest", Kind.GLASSES),
    ("quest pro", "Quest", Kind.GLASSES),
    ("pico ", "PICO", Kind.GLASSES),
    ("glass 1", "Google Glass", Kind.GLASSES),
    ("web0s", "webOS", Kind.TELEVISION),
    ("webos.tv", "webOS", Kind.TELEVISION),
    ("appletv", "tvOS", Kind.TELEVISION),
    ("tvos", "tvOS", Kind.TELEVISION),
    ("kepler", "Vega OS", Kind.TELEVISION),
    ("roku", "Roku", Kind.TELEVISION),
    ("googletv", "Google TV", Kind.TELEVISION),
    ("polestar build", "Polestar", Kind.CAR),
    ("porsche rear seat", "Porsche", Kind.CAR),
    ("fire os", "Fire OS", Kind.UNKNOWN),
    ("openharmony", "HarmonyOS", Kind.UNKNOWN),
    ("harmonyos", "HarmonyOS", Kind.UNKNOWN),
    ("hmos", "HarmonyOS", Kind.UNKNOWN),
    ("watchos", "watchOS", Kind.UNKNOWN),
)
# The same by a product.
DEVICE_WORDS = {
    "tesla": ("Tesla", Kind.CAR),
    "teslabrowser": ("Tesla", Kind.CAR),
    "qtcarbrowser": ("Tesla", Kind.CAR),
    "crkey": ("Chromecast", Kind.TELEVISION),
    "rokubrowser": ("Roku", Kind.TELEVISION),
    "roku": ("Roku", Kind.TELEVISION),
    "tvos": ("tvOS", Kind.TELEVISION),
    "vidaa": ("VIDAA", Kind.TELEVISION),
    "titanos": ("Titan OS", Kind.TELEVISION),
    "tivoos": ("TiVo OS", Kind.TELEVISION),
    "kaios": ("KaiOS", Kind.PHONE),
}
# Consoles whose browsers have no names of their own, by how their names begin.
WITHOUT_BROWSERS = ("PlayStation", "Nintendo", "Wii")
# What televisions have somewhere.
TELEVISIONS = (
    "hbbtv",
    "smart-tv",
    "smarttv",
    "smart tv",
    "googletv",
    "google tv",
    "android tv",
    "bravia",
    " viera",
    "aquos-tv",
    "mibox",
    "mitv",
    "portaltv",
    "4k tv",
    "chromecast",
    "netcast",
)
KINDS_OF_SYSTEMS = {
    "ChromeOS": Kind.COMPUTER,
    "Mac OS": Kind.COMPUTER,
    "Windows": Kind.COMPUTER,
    "macOS": Kind.COMPUTER,
    "Bada": Kind.PHONE,
    "BlackBerry OS": Kind.PHONE,
    "Firefox OS": Kind.PHONE,
    "KaiOS": Kind.PHONE,
    "Symbian OS": Kind.PHONE,
    "Windows Phone": Kind.PHONE,
    "Chromecast": Kind.TELEVISION,
    "Google TV": Kind.TELEVISION,
    "Roku": Kind.TELEVISION,
    "tvOS": Kind.TELEVISION,
}
