"""What a prepared corpus was made of, in words: from its manifest alone."""

from __future__ import annotations

from typing import Any

from talewright.data.layout import DAMAGE, FLAWS
from talewright.data.sources.file_format import FileFormat

ADJECTIVES = {"train": "training", "valid": "validation", "test": "test"}


def read_as(manifest: dict[str, Any], split: str = "train") -> str:
    """`400 stories separated by blank lines`: what was read of a source, and how."""
    count = f"{manifest['source']['read'][split]['read']:,}"
    found = [{name: value for name, value in each.items() if name != "files"} for each in _recognized(manifest, split)]
    formats = list(dict.fromkeys(FileFormat(**each) for each in found))
    if len(formats) == 1:
        return formats[0].describe(count)
    listed = ": " + "; ".join(each.describe() for each in formats[:4]) + " ..." * (len(formats) > 4) if formats else ""
    return f"{count} {'story' if count == '1' else 'stories'}{listed}"


def summary(manifest: dict[str, Any], folder: object) -> str:
    """Five lines: what was read, the splits, tokens, what was removed, the folder, and flaws if stories have some."""
    splits, read = manifest["splits"], manifest["source"]["read"]
    own = [name for name in ("valid", "test") if name in read]
    sources = [f"{manifest['data']['source']}: {read_as(manifest)}"]
    sources += [f"{manifest['data'][name] or ADJECTIVES[name]}: {read_as(manifest, name)}" for name in own]
    counts = [f"{splits[name]['stories'] if name in splits else 0:,} {word}" for name, word in ADJECTIVES.items()]
    plain = (
        any(each["kind"] == "text" for each in _recognized(manifest, "train"))
        and "valid" not in own
        and "valid" in splits
    )
    tokens, size = (sum(split[unit] for split in splits.values()) for unit in ("tokens", "bytes"))
    lines = {
        "read": "; ".join(sources),
        "stories": ", ".join(counts) + " (by position: the end of the text is for validation)" * plain,
        "tokens": f"{tokens:,} of {size:,} bytes of text",
        "removed": _removed(manifest),
        "flaws": _flaws(manifest),
        "folder": str(folder),
    }
    return "\n".join(f"{name:<9}{text}" for name, text in lines.items() if text)


def summary_line(manifest: dict[str, Any]) -> str:
    """One line: how many stories were read and kept, what was removed, and the flaws of those that were kept."""
    read = sum(some["read"] for some in manifest["source"]["read"].values())
    kept = sum(split["stories"] for split in manifest["splits"].values())
    flaws = _flaws(manifest)
    line = f"{manifest['data']['source']}: {read:,} stories read, {kept:,} kept; removed: {_removed(manifest)}"
    return f"{line}; flaws: {flaws}" if flaws else line


def _removed(manifest: dict[str, Any]) -> str:
    def count(name: str) -> str:
        return f"{sum(some.get(name, 0) for some in manifest['source']['read'].values()):,}"

    damaged = f"{count('damaged')} damaged, " if manifest["data"].get("drop_damaged") else ""
    return (
        f"{count('empty')} empty, {count('short')} shorter than {manifest['data']['min_chars']} characters, {damaged}"
        f"{count('duplicates')} duplicates; {count('repaired')} repaired"
    )


def _flaws(manifest: dict[str, Any]) -> str:
    """`3 stories with lost characters (U+FFFD)`: what the stories that were kept have, and how to be rid of it; "" if
    they have none.
    """
    counted = manifest["source"].get("flaws", {}).values()
    counts = {name: sum(some[name] for some in counted) for name in FLAWS}
    found = [f"{n:,} {FLAWS[name]}" for name, n in counts.items() if n]
    if found:
        found[0] = found[0].replace(" ", f" {'story' if found[0].startswith('1 ') else 'stories'} ", 1)
    advice = " (--data.drop-damaged true leaves them out)" if any(counts[name] for name in DAMAGE) else ""
    return "; ".join(found) + advice


def no_stories(manifest: dict[str, Any], split: str) -> str:
    """Why a corpus has no stories in a split, and what gives it some."""
    data, name = manifest["data"], ADJECTIVES[split]
    own = manifest["source"]["read"].get(split)
    if own:
        return (
            f"{data[split] or data['source']} has no {name} stories: {own['read']:,} read, {own['empty']:,} of them "
            f"empty, {own['short']:,} shorter than {data['min_chars']} characters (--data.min-chars), "
            + (f"{own['damaged']:,} damaged (--data.drop-damaged), " if own.get("damaged") else "")
            + f"{own['duplicates']:,} duplicates"
        )
    named = f"{data['source']} has no {name} stories: it was read as {read_as(manifest)}"
    if data["splits"]:
        return f"{named}, and data.splits is {data['splits']}; set other shares, or name some with --{split} FILE"
    if split == "test":
        return f'{named}; name some with --test FILE, or a share with --data.splits "[90, 5, 5]"'
    return (
        f"{named}, and at least two are needed. --format and --separator change how a file is read; "
        f"--{split} FILE names {name} stories"
    )


def _recognized(manifest: dict[str, Any], split: str) -> list[dict[str, Any]]:
    return manifest.get("recognized", {}).get(split, [])
