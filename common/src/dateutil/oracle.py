#!/usr/bin/env python3
"""Prints python.tsv, the fixture of tests.rs: what Python's dateutil makes of many timestamps.

    python3 oracle.py > python.tsv

Needs dateutil 2.9.0. The Rust tests read the file and never run Python. A row is the input
(escaped), its instant in UTC, and its instant with the zone ignored; `-` is a refusal, `=` repeats
the second column. "Today" is fixed, so that the file is the same on any day and machine.
"""

import datetime
import os
import time
import warnings

os.environ["TZ"] = "UTC"  # dateutil looks names of zones up among those of the local one, too
time.tzset()

import dateutil
import dateutil.parser

TODAY = datetime.datetime(2024, 5, 17)  # a Friday

DATES = [
    "2019-06-15", "20190615", "2019-6-5", "2019/06/15", "2019.06.15", "06/15/2019", "6/15/19",
    "6-15-2019", "15.06.2019", "15/06/2019", "06/07/2019", "99-12-31", "15 June 2019",
    "June 15, 2019", "June 15th, 2019", "15-Jun-2019", "Jun-15-2019", "2019-Jun-15",
    "Sat, 15 Jun 2019", "Saturday 15th of June 2019", "Sat Jun 15 2019", "15JUN2019",
]

TIMES = [
    "15:17:38", "15:17:38.5", "15:17:38,123", "15:17:38.123456789", "15:17:38.", "15:17", "15:17.5",
    "5:7", "15", "1517", "151738", "151738.25", "3pm", "3 PM", "3:17 pm", "3:17:38 p.m.", "12 am",
    "15h17m38.5s", "15 h 17 m", "15h17", "15h", "00:00", "23:59:59.999999", "25:00", "15:60",
    "15:17:60", "15:17:61", "13 pm",
]

ZONES = [
    "Z", "z", " Z", " UTC", " GMT", "+00:00", "+0000", "+00", "-00:00", "-0700", " -0700", "+05:30",
    " +0530", "-3", " UTC+3", " GMT-0700", " GMT +3", " -0700 (PDT)", "+14:00", "-12:00", "+23:59",
    "+2400", "+99:00", "+05:99", "+123", "+12345", "+", " +0000 UTC",
]

FEW_TIMES = ["15:17:38", "15:17:38.5", "15:17", "15", "151738", "3:17 pm"]
FEW_ZONES = ["Z", " UTC", "+00:00", "-0700", " +0530", " -0700 (PDT)"]

BY_HAND = """
2019-06-15T15:17:38.123456Z|2019-06-15t15:17:38z|2019-06-15T15:17:38.123+0000|20190615T151738Z
20190615T151738.5Z|20190615T1517Z|20190615T15Z|20190615T151738-0700|20190615151738|201906151517
2019061515|20190615151738Z|20190615151738.5|2019-06-15T15:17:38+07|2019-06-15T15Z|2019-06-15T15+0530
2019-06-15T151738Z|20190615T15:17:38Z|2019-06-15 15:17:38 +00:00|2019-06-15T15:17:38 -07:00
2019-06-15T15:17:38.1234567Z|2019-06-15T15:17:38.000000001Z|2019-06-15T15:17:38,5Z
2019-06-15T15:17:38.5.5|2019-06-15T15:17:38.Z|2019-06-15T15:17:8,5|2019-06-15T5:07:08Z
2019-06-15-07:00|2019-06-15Z|2019-06-15+00:00|2019-06-15T|2019-06-15T10-07|2019-06-15_15:17
2019-06-15T10:30 |  2019-06-15T10:30:00Z  |2019-06-15  10:30|2019-06-15T 10:30|2019-06-15 T10:30
2019|2019-06|2019 June|June 2019|Jun-2019|2019/06|06/2019|June of 2019|June of 19|15 June of 2019
2019T10:30|2019-06T10:30|Sat Jun 2019|June|June 15|15 June|6/15|15/6|06-15|31|5|32|99|100|0|00
0000|0012|0099|0099-06-15|0012-06|012-06|1999|9999|10000|12345|123456|190615|991231|1234567
12345678|123456789|1560611858|1560611858.5|99999999999999999999|2019-1|2019-00|2019-13|2019-06-00
Saturday|sat|Friday|Fri 10:30|Sat 10:30Z|Monday 3pm|Mon, 15 Jun 2019|10:30|10:30:15.5|10:30Z
10:30+05:00|10:30-0700|T10:30|T10:30:15Z|T10|T1030|T103015|T1030Z|T10.5|10h36m28.5s|10h36|36m28.5s
15.5h|10 h 36|10h 36m 28s|10h36m28s5|2h2019|10:30 pm|10:30pm|0:30 am|12:30 am|12:30 pm|13:30 pm|3a
am|3 a|pm 3|10:30 a.m.|10.30|10.30.15|1.2.3|1.2.2003|15.06|15,06,2019|June 15,2019|Jun.15.2019
Sat Jun 15 15:17:38 2019|Sat Jun 15 15:17:38 2019 -0700|Sat Jun 15 15:17:38 UTC 2019
Sat Jun 15 15:17:38 GMT+03:00 2019|Sat, 15 Jun 2019 15:17:38 -0700|Sat, 15 Jun 2019 15:17:38 GMT
15 Jun 2019 15:17 UT|Sat, 15 Jun 19 15:17:38 +0000|Saturday, 15-Jun-19 15:17:38 GMT
Sat Jun 15 2019 15:17:38 GMT-0700|Sat Jun 15 2019 15:17:38 GMT-0700 (PDT)
Sat Jun 15 2019 15:17:38 GMT-0700 (Pacific Daylight Time)|2019-06-15 15:17:38 +0000 UTC
15/Jun/2019:15:17:38 -0700|15/Jun/2019 15:17:38 -0700|6/15/2019, 3:17:38 PM
June 15th, 2019 3:17 PM|June 15, 2019 at 3:17 PM|3:17 PM on June 15th, 2019|6/15/2019 3pm
June 1st 2019|June 2nd, 2019|3rd of June 2019|15 June 2019, 15:17|15. June 2019|15 '19 June
10:30 ON 15 JUNE 2019|15 JUNE 2019 AT 10:30|15:17:38 15-Jun-2019|10:00 2019-06-15|10:00-2019
2019-06-15 and 10:30|2019-06-15; 10:30|2019-06-15, 10:30|15 of June of 2019|15 AD|June 15 AD 2019
2019-06-15 15:17:38 EST|2019-06-15 15:17:38 EDT|2019-06-15 15:17:38 CST|2019-06-15 15:17:38 CDT
2019-06-15 15:17:38 MST|2019-06-15 15:17:38 MDT|2019-06-15 15:17:38 PST|2019-06-15 15:17:38 PDT
2019-06-15 15:17:38 UT|2019-06-15 15:17:38 B|2019-06-15T15:17:38K|2019-06-15 15:17:38 J
2019-06-15 15:17:38 BRST|2019-06-15 15:17:38 XYZ|2019-06-15 15:17:38 CET|2019-06-15 15:17:38 est
2019-06-15 15:17:38 gmt|2019-06-15 15:17:38 ABCDEF|2019-06-15 15:17:38 EST-5|2019-06-15 15:17 BRST+3
2019-06-15 15:17:38 EST5EDT|2019-06-15 15:17:38 UTC-03:30|2019-06-15 15:17:38 UTC Z
2019-06-15 15:17:38 -03 (BRST)|2019-06-15 15:17:38 -03:00 (BRST)|2019-06-15 15:17:38 -03(BRST)
2019-06-15 15:17:38 -0300 (UTC)|2019-06-15 15:17:38 +03 +04|2019-06-15 15:17:38 Z+3
2019-06-15T15:17:38-|2019-06-15T15:17:38-0x|2019-06-15T15:17:38+1:2|2019-06-15T15:17:38+01:
2019-02-29|2020-02-29|2019-02-30|2019-04-31|2019-06-31|2000-02-29|1900-02-29|30 Feb 2019|Feb 29
2019-06-15T24:00|2019-06-15T24:00:00Z|20190615T2400|2019-12-31 24:00:00|2019-06-15T24:01|24:00
2019-06-15T15:17:99|2019-06-15T99:17|2019-06-15T-1:17|2019-06-15T15:-1|2019-06-15T15::38
2019-W24-6|2019W246|2019-W24|2019W24|2019-w24-6|2019-W24-6T15:17:38Z|2019W246T151738Z|2019-W53-1
2020-W53-5|2019-W00-1|2019-W24-0|2019-W24-8|2019-W24-|2019-W246|2019W24-6|2019-W2-6|0001-W01-1
2019-166|2019166|2019-166T15:17:38Z|2019166T151738Z|2019-365|2019-366|2020-366|2019-000|2019-001
2019-06-15T15.5|2019-06-15T15,25Z|2019-06-15 15.5|20190615T1517.5|2019-06-15T15:17.555
0001-01-01|9999-12-31T23:59:59.999999|0001-01-01T00:00+00:01|9999-12-31T23:59-00:01|0000-01-01
9999-12-31T24:00|10000-01-01|-2019-06-15|+2019-06-15|--06-15|0001-01-01T00:00-05:00
2019-06-15T15:17:38Zjunk|2019-06-15 foo|foo|foo 2019-06-15|2019-06-15 10:30 foo|2019-06-15#10:30
junk|NaN|nan|inf|Infinity|-inf|10:30 NAN|1e5|0x10|1_000|2019-06-15 \\|2019-06-15"|June of foo
2019-06-15 2019-06-16|June June 2019|June July 2019|1 2 3 4|2019 2019|15 June 2019 2020|1-2-3-4
2019-06-|2019-|2019-06-15-|2019/06-15|2019--06|June-|Jun-15-|15-|15-foo|15-06-foo|15:|:15|15:17:
.|,|at|-|/|T|t|Z|+|+00:00|:|of|,,, at|()|'
12 34 56|121314|12131415|1213141516|121314.5|12131.5|1213.5|12.5|1,5|15,5|12,345.6|1,234,567
2019-06-15 10:30:15.Z|2019-06-15 10:30:15.5.Z |10:30:15,5 15 Jun 2019|5 a.m. 15 June 2019
2019-06-15 3:17\\u{202f}PM|\\u{a0}2019-06-15\\u{2003}10:30|\\t2019-06-15\\n|2019-06-15\\n10:30
2019-06-15\\u{0}|2019-06-15\\u{0}10:30|\\u{0}|2019\\u{1c}06\\u{1c}15|\\u{665}:\\u{663}\\u{660}
2019-06-1\\u{665}|2019-06-15 \\u{661}\\u{660}:30
2019\\u{2212}06\\u{2212}15|15 Juin 2019|15 \\u{4d}\\u{e4}rz 2019
"""


def inputs():
    for date in DATES:
        for time_of_day in TIMES:
            yield f"{date} {time_of_day}"
            if date in ("2019-06-15", "20190615"):
                yield f"{date}T{time_of_day}"
        for zone in FEW_ZONES:
            yield f"{date} 15:17:38{zone}"
        yield date
    for time_of_day in FEW_TIMES:
        for zone in ZONES:
            yield f"2019-06-15 {time_of_day}{zone}"
    for line in BY_HAND.strip("\n").split("\n"):
        for escaped in line.split("|"):
            yield unescaped(escaped)
    yield ""
    yield "   "


def unescaped(text):
    parts = text.replace("\\t", "\t").replace("\\n", "\n").split("\\u{")
    for at, part in enumerate(parts[1:], 1):
        code, rest = part.split("}", 1)
        parts[at] = chr(int(code, 16)) + rest
    return "".join(parts)


def escaped(text):
    named = {"\\": "\\\\", "\t": "\\t", "\n": "\\n"}
    return "".join(
        named.get(c) or (c if " " <= c <= "~" else f"\\u{{{ord(c):x}}}") for c in text
    )


def reading(parser, text, ignore_zone):
    try:
        instant = parser.parse(text, default=TODAY, ignoretz=ignore_zone)
        if instant.tzinfo is not None:
            instant = instant.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    except Exception:  # dateutil lets others than its own out, too, such as OverflowError
        return "-"
    return instant.isoformat()


def main():
    warnings.simplefilter("ignore")
    parser = dateutil.parser.parser()
    parser.info._year = TODAY.year
    parser.info._century = TODAY.year // 100 * 100
    print(f"# dateutil {dateutil.__version__}, today {TODAY.date()}, from oracle.py")
    for text in dict.fromkeys(inputs()):
        utc = reading(parser, text, False)
        ignored = reading(parser, text, True)
        print(escaped(text), utc, "=" if ignored == utc else ignored, sep="\t")


if __name__ == "__main__":
    main()
