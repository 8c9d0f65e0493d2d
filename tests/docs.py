"""The documentation beside the code: `python3 tests/docs.py` prints each contradiction and fails, or one line.

Checked in every Markdown file: links lead to a file and a heading that are there, and so do the paths of the tree in
`code`; what stands as `NAME=...`, `make NAME`, `struct name` or `a_name`, as a verb of `nv`, `vm` or `nvpool`, and what is
typed at a prompt, is known to the code. In the first column of a table under "option", "key" or "verb" stands just what the
code's tables have, no less and no more; under "message" or "refusal", and in excerpts of the log, what the code can say.
"""
import bisect
import re
import sys
from pathlib import Path

TOPS = ("boot", "guest", "hv", "mm", "drivers", "tests")
PRODUCT = TOPS[:-1]
CODE = {".c", ".h", ".asm", ".py", ".sh", ".mk", ".cfg", ".default"}
TOKEN = re.compile(r'/\*.*?\*/|//[^\n]*|\'(?:\\.|[^\'\\])\'|"((?:\\.|[^"\\])*)"', re.S)
CONVERSION = re.compile(r"(?:0x)?%[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j|t)?[diuxXscp]M?")
PLACEHOLDER = re.compile(r"\b(?:ADDR|FEATURE|KEY|NAME|OFFSET|(?:0x)?PORT|REGION|REGISTER|SIZE|VALUE|WHAT|WHY|N|M)\b")
ANY = "\1"  # a placeholder of the documentation
VALUE = re.compile(r"[\1 =]*|(?:0x)?[0-9][0-9a-f.]*(?: [KMGT]?i?B)?|db|db-data|notes|web")  # db to web: of the excerpts
LOG = re.compile(r"(?:nvpool: )?(?:(?:warning|error): )?((?:memory|memory map|nfit|virt|persistence|nvram|pool|timer|"
                 r"smp|vm \S+|permafrost|power|console|acpi|boot|irq|mce): .*)")
SPAN = re.compile(r"`([^`]+)`")
PROMPTS = ("permafrost> ", "$ nvpool ")
GROUPS = {"monitor_commands": "", "vm_commands": "vm ", "nv_commands": "nv ", "own_commands": "nvpool "}


# ---- what the code knows ----

def literals(text):
    """The strings of C source, adjacent ones as one."""
    end, found = -1, []
    for token in TOKEN.finditer(text):
        if token[1] is None:
            continue
        joins = end >= 0 and not text[end:token.start()].strip()
        found.append((found.pop() if joins else "") + token[1].replace('\\"', '"'))
        end = token.end()
    return found


class Code:
    def __init__(self):
        tree = [p for top in TOPS for p in sorted(Path(top).rglob("*")) if p.suffix in CODE or p.name == "init"]
        tree += [p for p in (Path("Makefile"), Path(".ci/run"), Path(".ci/install")) if p.exists()]
        sources = {p: p.read_text(errors="replace") for p in tree}
        self.text = "\n".join(text for p, text in sources.items() if p.name != Path(__file__).name)
        product = [text for p, text in sources.items() if p.parts[0] in PRODUCT and p.suffix in (".c", ".h")]
        self.messages = sorted({s for text in product for s in literals(text)})
        templates = [CONVERSION.split(s) for s in self.messages]
        self.templates = [parts for parts in templates if len(parts) > 1 and re.search(r"\w\w", parts[0])]
        self.frames = [parts for parts in templates if not parts[0] and "".join(parts).strip()]  # "%s: %s"
        self.values = {}
        everything = "\n".join(product)
        self.tables = {"option": self.rows(everything, "option_keys"), "key": self.rows(everything, "vm_keys")}
        self.verbs = {group + name for table, group in GROUPS.items() for name in self.rows(everything, table)}
        self.verbs |= {"nvpool " + name for name in self.rows(everything, "nv_commands")} | {"help"}
        makefiles = "\n".join(text for p, text in sources.items() if p.suffix == ".mk" or p.name == "Makefile")
        self.targets = set(" ".join(re.findall(r"^(?:\.PHONY: )?([\w -]+)(?::|$)", makefiles, re.M)).split())

    @staticmethod
    def rows(text, table):
        body = re.search(r"\b%s\[\] = \{(.*?)\n\};" % table, text, re.S)
        return set(re.findall(r'^\s*\{"([^"]+)"', body[1], re.M)) if body else set()

    def says(self, text):
        """Whether a message looks like this. Its end may be left out."""
        return text in "\0".join(self.messages) or self.is_made(text, False) or \
            any(self.fits(text, 0, parts, 0, False) for parts in self.frames)

    def is_made(self, text, whole):
        return any(text.startswith(parts[0]) and self.fits(text, 0, parts, 0, whole) for parts in self.templates)

    def fits(self, text, at, parts, n, whole):
        """Whether text[at:] looks like parts[n:] with a value between each two parts; if not whole, as far as it goes."""
        if not text.startswith(parts[n], at):
            return not whole and parts[n].startswith(text[at:])
        at += len(parts[n])
        if n + 1 == len(parts):
            return at == len(text)
        after = parts[n + 1]
        return any(
            (text.startswith(after, end) or not whole and after.startswith(text[end:]))
            and self.is_value(text[at:end], whole or end < len(text))
            and self.fits(text, end, parts, n + 1, whole)
            for end in range(at, len(text) + 1)
        )

    def is_value(self, text, whole):
        """Whether a message's %s or %u may be this: a number, a placeholder, or again what the code says."""
        if (text, whole) not in self.values:
            at = bisect.bisect_left(self.messages, text)
            said = self.messages[at] if at < len(self.messages) else ""
            self.values[text, whole] = False  # while it is looked for
            self.values[text, whole] = bool(VALUE.fullmatch(text)) or (
                said == text or not whole and said.startswith(text) or self.is_made(text, whole)
            )
        return self.values[text, whole]


# ---- what the documentation says ----

def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(path):
    return {slug(line.lstrip("#")) for line in path.read_text().splitlines() if line.startswith("#")}


def verb_of(typed):
    """The verb in what is typed, with its group: "nv list", "mem", "nvpool export"; of a group without one, ""."""
    group = re.match(r"(?:nv|vm|nvpool) |", typed)[0]
    words = typed[len(group):].split()
    if group != "nvpool ":  # there an image and options may stand before it
        words = words[:1]
    return next((group + word for word in words if re.fullmatch(r"[a-z][a-z-]*", word)), "")


class Document:
    def __init__(self, path, code, breaches):
        self.path, self.code, self.breaches = path, code, breaches
        self.named = {"option": set(), "key": set(), "verb": set()}
        self.table = ""

    def blame(self, number, what):
        self.breaches.append(f"{self.path}:{number}: {what}")

    def read(self):
        for number, line in enumerate(self.path.read_text().splitlines(), 1):
            if line.startswith("    "):
                self.check_excerpt(number, line.strip())
                continue
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                self.check_link(number, target)
            first, rest = self.follow_table(line)
            for span in SPAN.findall(first):
                self.check_first(number, span)
            for span in SPAN.findall(rest):
                self.check_words(number, span)

    def follow_table(self, line):
        """What stands in the first column of a table, whose title is self.table then, and the rest of the line."""
        if not line.startswith("|"):
            self.table = ""
            return "", line
        first, _, rest = line[1:].partition(" | ")
        self.table = self.table or first.strip()
        return first, rest

    def check_link(self, number, target):
        if re.match(r"\w+:", target):
            return
        name, _, anchor = target.partition("#")
        path = (self.path.parent / name) if name else self.path
        if not path.exists():
            self.blame(number, f"{target}: there is no such file")
        elif anchor and anchor not in anchors(path):
            self.blame(number, f"{target}: there is no such heading")

    def check_first(self, number, span):
        checks = {"message": self.check_message, "refusal": self.check_message, "option": self.check_name,
                  "key": self.check_name, "verb": self.check_verb}
        checks.get(self.table, self.check_words)(number, span)

    def check_name(self, number, span):
        name = re.match(r"([\w-]+)=", span)
        if name and name[1] not in self.code.tables[self.table]:
            self.blame(number, f"`{span}`: the code has no {self.table} {name[1]}=")
        if name:
            self.named[self.table].add(name[1])

    def check_verb(self, number, span):
        verb = verb_of(span)
        if verb not in self.code.verbs:
            self.blame(number, f"`{span}`: the code has no such verb")
        self.named["verb"].add(verb)

    def check_message(self, number, span):
        for part in span.split("..."):
            if part.strip(" :") and not self.code.says(PLACEHOLDER.sub(ANY, part).rstrip(" ")):
                self.blame(number, f"`{span}`: the code never says \"{part.strip()}\"")

    def check_words(self, number, span):
        """What stands in the text: a path, an option, a name of the code, a target of make, a verb."""
        if re.match(r"(?:%s)/[\w./*-]*$" % "|".join(TOPS), span) and not list(Path(".").glob(span.replace("NAME", "*"))):
            self.blame(number, f"`{span}`: there is no such file")
        name = re.match(r"([A-Za-z][\w.-]*)=", span)
        if name and name[1] not in self.code.text:
            self.blame(number, f"`{span}`: the code has no {name[1]}=")
        identifier = re.fullmatch(r"(?:struct )?\w+_\w+|struct \w+", span)
        others = self.path.parts[0] == "tests"  # kvm-unit-tests, whose names are not ours
        if identifier and not others and not re.search(rf"\b{span}\b", self.code.text):
            self.blame(number, f"`{span}`: the code has no such name")
        target = re.match(r"make ([a-z][\w-]*)(?= |$)", span)
        if target and target[1] not in self.code.targets:
            self.blame(number, f"`{span}`: no makefile has this target")
        if re.match(r"(?:nv|vm|nvpool) ", span) and verb_of(span) not in {*self.code.verbs, ""}:
            self.blame(number, f"`{span}`: the code has no such verb")

    def check_excerpt(self, number, line):
        said = LOG.match(line)
        if line.startswith(PROMPTS) and verb_of(line.partition(" ")[2]) not in self.code.verbs:
            self.blame(number, f"\"{line}\": the code has no such verb")
        if said and not self.code.says(re.split(r" {3}| \(i\)|\.\.\.", said[1])[0].strip()):
            self.blame(number, f"the code never logs \"{said[1]}\"")


def main():
    breaches, code = [], Code()
    documents = [Document(p, code, breaches) for p in sorted(Path(".").rglob("*.md")) if p.parts[0] != "build"]
    for document in documents:
        document.read()
    named = {kind: set().union(*(d.named[kind] for d in documents)) for kind in ("option", "key", "verb")}
    known = {**code.tables, "verb": {v for v in code.verbs if not v.startswith("nvpool ")}}
    for kind, names in known.items():
        breaches += [f"the {kind} {name} stands in no table of the documentation" for name in sorted(names - named[kind])]
        if not names:
            breaches.append(f"no {kind} found in the code: not started in the root of the tree?")
    print("\n".join(breaches) if breaches else f"docs: {len(documents)} files agree with the code")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
