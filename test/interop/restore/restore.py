#!/usr/bin/env python3
"""References to objects that outlive processes, ours opposite the C++ and the Go implementation: saved by one process, restored
from another after ours was killed and started again, and refused to everybody else.

usage: restore.py OURS CXX SCRATCH   (TAP on stdout; CXX "" when it could not be built)"""
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))
from harness import Daemon, Tap, build_restore_go, run  # noqa: E402

NOW = 1_000_000
NOTHING = "the reference leads to nothing for this owner"
NO_REFERENCE = "this is no reference of this realm: pass on what save() gave, Data of 49 bytes, unchanged"
REF_CHARS = 2 * 49


class Story:
    """A vault of ours in a folder, and a client of some implementation."""

    def __init__(self, ours, client, folder):
        self.ours, self.client, self.folder = ours, client, folder
        self.address = f"unix:{folder}/s"
        self.daemon = None

    def start(self, now=NOW):
        self.daemon = Daemon([self.ours, "serve", self.folder, self.address, now])
        self.daemon.__enter__()

    def kill(self):
        self.daemon.stop(signal.SIGKILL)

    def restart(self, now=NOW):
        self.kill()
        self.start(now)

    def ask(self, *words):
        return run([self.client, self.address, *words], timeout=60).strip()

    def save(self, *words):
        said = self.ask("save", *words)
        assert said.startswith("ref ") and len(said) == 4 + REF_CHARS, said
        return said[4:]

    def adds(self, owner, ref, n, total):
        said = self.ask("restore", owner, ref, n)
        assert said == f"sum {total}", said

    def refused(self, text, *words):
        said = self.ask(*words)
        assert said.startswith("refused failed: ") and text in said, said


def survives(story):
    assert story.ask("add", "apples", 5) == "sum 5"
    story.refs = {owner: story.save("apples", *([owner] if owner != "-" else [])) for owner in ("-", "alice", "bob")}
    story.refs["pears"] = story.save("pears", "alice")
    story.restart()
    story.adds("alice", story.refs["alice"], 2, 7)
    story.adds("bob", story.refs["bob"], 1, 8)
    story.adds("carol", story.refs["-"], 1, 9)
    story.adds("-", story.refs["-"], 1, 10)
    story.adds("alice", story.refs["pears"], 3, 3)
    assert story.ask("add", "apples", 0) == "sum 10"
    story.restart()
    story.adds("alice", story.refs["alice"], 0, 10)


def tampered(story):
    ref = story.refs["alice"]
    for at in (0, 2, 20, 34, 60, REF_CHARS - 1):
        changed = ref[:at] + f"{int(ref[at], 16) ^ 1:x}" + ref[at + 1:]
        story.refused(NOTHING, "restore", "alice", changed, 1)
        story.refused(NOTHING, "revoke", "alice", changed)
    mixed = story.refs["pears"][:34] + ref[34:]  # a genuine seal on another's id
    story.refused(NOTHING, "restore", "alice", mixed, 1)
    for other in ("", ref[:-2], ref + "00", "00" * 2000):
        story.refused(NO_REFERENCE, "restore", "alice", other, 1)
    story.adds("alice", ref, 0, 10)


def foreign(story):
    for owner in ("bob", "alic", "alice2", "-"):
        story.refused(NOTHING, "restore", owner, story.refs["alice"], 1)
        story.refused(NOTHING, "revoke", owner, story.refs["alice"])
    story.adds("alice", story.refs["alice"], 0, 10)


def expired(story):
    ref = story.save("brief", "alice")
    story.restart(NOW + 59)
    story.adds("alice", ref, 4, 4)
    story.restart(NOW + 60)
    story.refused(NOTHING, "restore", "alice", ref, 1)
    story.adds("alice", story.refs["alice"], 0, 10)


def revoked(story):
    again = story.save("apples", "alice")
    assert story.ask("revoke", "alice", story.refs["alice"]) == "revoked"
    story.refused(NOTHING, "restore", "alice", story.refs["alice"], 1)
    story.refused(NOTHING, "revoke", "alice", story.refs["alice"])
    story.restart()
    story.refused(NOTHING, "restore", "alice", story.refs["alice"], 1)
    story.adds("alice", again, 0, 10)
    story.refs["alice"] = again


def key_gone(story):
    """The server does not start, and says what to do; with the key back, all is well."""
    key, table = story.folder / "key", story.folder / "table"
    story.kill()
    kept, stored = key.read_bytes(), table.read_bytes()
    for says, remedy, change in (("damaged", "an undamaged copy", lambda: table.write_bytes(stored[:-1] + b"?")),
                                 ("another key", "bring that key back", lambda: key.write_bytes(kept[::-1])),
                                 ("the key is gone", "bring it back", key.unlink)):
        change()
        end = subprocess.run([story.ours, "serve", story.folder, story.address, str(NOW)], capture_output=True, text=True,
                             timeout=60)
        assert end.returncode == 1 and says in end.stderr and remedy in end.stderr, end
        table.write_bytes(stored)
    key.write_bytes(kept)
    story.start()
    story.adds("alice", story.refs["alice"], 0, 10)


def theirs(ours, cxx, folder):
    """Our client on C++ objects."""
    address = f"unix:{folder}/cxx"
    with Daemon([cxx, "serve", address]):
        def ask(*words):
            return run([ours, address, *words], timeout=60).strip()
        assert ask("add", "apples", 5) == "sum 5"
        for owner in ("", "alice"):
            ref = f"apples for {owner}".encode().hex()
            said = ask("save", "apples", *([owner] if owner else []))
            assert said == f"ref {ref}", said
        assert ask("restore", "alice", ref, 2) == "sum 7"
        said = ask("restore", "bob", ref, 2)
        assert said.startswith("refused failed: ") and "not for you" in said, said
        said = ask("revoke", "alice", ref)
        assert said.startswith("refused unimplemented: "), said
        assert ask("add", "apples", 0) == "sum 7"


def main(ours, cxx, scratch):
    tap = Tap()
    clients = {"our": ours, "C++": cxx, "Go": build_restore_go(scratch)}
    with tempfile.TemporaryDirectory(prefix="ww-restore-") as top:
        for name, client in clients.items():
            points = {"restored after kill -9, and the same object": survives, "tampered ones are refused": tampered,
                      "those sealed for others are refused": foreign, "expired ones are refused": expired,
                      "revoked ones are refused": revoked, "a damaged table, another key and none are told apart": key_gone}
            if not client:
                for point in points:
                    tap.skip(f"{name} client: {point}", "no toolchain for it")
                continue
            folder = pathlib.Path(top) / name
            folder.mkdir()
            story = Story(ours, client, folder)
            story.start()
            for point, body in points.items():
                tap.check(f"{name} client: {point}", lambda: body(story))
            story.kill()
            shutil.rmtree(folder)
        if cxx:
            tap.check("our client saves and restores C++ objects", lambda: theirs(ours, cxx, top))
        else:
            tap.skip("our client saves and restores C++ objects", "no toolchain for it")
    return tap.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3]))
