"""What the end-to-end and interop scripts share: TAP output, child processes that never outlive us, network namespaces."""
import atexit
import ctypes
import fcntl
import os
import pathlib
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
_libc = ctypes.CDLL(None)
_self = os.getpid()


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != _self:  # the parent ended between the fork and the line above
        os._exit(1)


class Tap:
    """Counts and prints test points. A check is a function that raises on failure."""

    def __init__(self):
        self.count = self.failed = 0
        self.lock = threading.Lock()
        # A test that is told to stop removes what it made.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        print("TAP version 13", flush=True)

    def _line(self, good, name, extra=""):
        with self.lock:
            self.count += 1
            self.failed += not good
            print(f"{'ok' if good else 'not ok'} {self.count} - {name}{extra}", flush=True)

    def check(self, name, body):
        try:
            body()
            self._line(True, name)
            return True
        except Exception:  # noqa: BLE001: any exception is a failed check
            why = "\n".join("# " + line for line in traceback.format_exc().splitlines()[-60:])
            self._line(False, name, "\n" + why)
            return False

    def together(self, **stories):
        """Runs the stories side by side, each a function of a `check` that puts the story's name before the point's.
        What a story starts must end with it: children die with the thread that made them."""
        def tell(name, story):
            prefix = name.replace("_", " ")
            try:
                story(lambda point, body: self.check(f"{prefix}: {point}", body))
            except Exception as failure:  # noqa: BLE001: outside of any point
                def fail(failure=failure):
                    raise failure
                self.check(f"{prefix}: goes through", fail)
        threads = [threading.Thread(target=tell, args=item) for item in stories.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def say(self, text):
        """Something to know that is no point."""
        with self.lock:
            print("\n".join("# " + line for line in text.splitlines()), flush=True)

    def skip(self, name, why):
        self._line(True, name, f" # SKIP {why}")

    def end(self):
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed else 0


def run(command, timeout=30, check=True, env=None, stdin=None):
    """Runs to the end and returns stdout; a failure raises with all that was said."""
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, env=env,
                            input=stdin, preexec_fn=_die_with_parent)
    if check and result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result.stdout


class Daemon:
    """A child that runs until the block ends. Waits for a line that starts with `ready` (default LISTEN, whose second
    word is `address`); further lines are read with `expect`."""

    def __init__(self, command, ready="LISTEN", timeout=30, env=None, stderr=subprocess.PIPE):
        self.command = [str(c) for c in command]
        self.ready, self.timeout, self.env = ready, timeout, env
        self.lines, self.errors, self.address = [], [], None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env=self.env, preexec_fn=_die_with_parent)
        atexit.register(self.kill)
        self.queue = queue.Queue()
        self.pumps = [threading.Thread(target=self._pump, args=args, daemon=True) for args in
                      ((self.process.stdout, self.lines, True), (self.process.stderr, self.errors, False))]
        for pump in self.pumps:
            pump.start()
        if self.ready:
            try:
                line = self.expect(lambda text: text.startswith(self.ready), self.timeout)
            except Exception:
                self.kill()
                raise
            self.address = line.split()[1] if len(line.split()) > 1 else None
        return self

    def _pump(self, pipe, kept, announce):
        for line in pipe:
            kept.append(line.rstrip("\n"))
            if announce:
                self.queue.put(line.rstrip("\n"))
        if announce:
            self.queue.put(None)

    def expect(self, test, timeout=10):
        """The next stdout line for which `test` holds; lines before it are dropped."""
        end = time.monotonic() + timeout
        while True:
            try:
                line = self.queue.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise RuntimeError(f"{' '.join(self.command)}: no such line in time\n" +
                                   "\n".join(self.lines[-15:] + self.errors[-15:]))
            if test(line):
                return line

    def ended(self, timeout=2):
        """Whether it ends by itself; all that it said is there then."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        for pump in self.pumps:
            pump.join(timeout)
        return True

    def stop(self, sig=signal.SIGTERM, timeout=10):
        """Asks it to end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(timeout)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __exit__(self, *_):
        self.kill()


def wait_for(test, timeout, what, interval=0.05):
    """Polls until `test()` is true; returns the seconds that it took."""
    start = time.monotonic()
    while not test():
        if time.monotonic() - start > timeout:
            raise RuntimeError(f"not within {timeout} s: {what}")
        time.sleep(interval)
    return time.monotonic() - start


def _locked(scratch, name):
    scratch = pathlib.Path(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    lock = open(scratch / (name + ".lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _version(*command):
    """The first "major.minor" that the command prints; (0, 0) without it."""
    if not shutil.which(command[0]):
        return (0, 0)
    found = re.search(r"(\d+)\.(\d+)", run(command, check=False))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _build_go(scratch, name, folder, sources, program):
    """Runs `folder`/build once a scratch folder; None without a Go toolchain that is new enough for the modules."""
    if _version("go", "version") < (1, 21) or not shutil.which("capnp"):
        return None
    with _locked(scratch, name):
        out = pathlib.Path(scratch) / name
        stamp = out / "stamp"
        want = "".join(f"{p.name}:{p.stat().st_mtime_ns}\n" for p in sources if p.is_file())
        if not stamp.exists() or stamp.read_text() != want:
            run([folder / "build", out], timeout=900)
            stamp.write_text(want)
        return str(out / program)


def build_go(scratch):
    """The libp2p peer in Go."""
    folder = ROOT / "test/interop/go"
    return _build_go(scratch, "go", folder, sorted(folder.rglob("*")), "gopeer")


def build_conversation_go(scratch):
    """The Cap'n Proto peer in Go."""
    folder = ROOT / "test/interop/conversation/go"
    return _build_go(scratch, "conversation-go", folder, sorted(folder.parent.glob("go/*")) + [folder.parent / "conversation.capnp"],
                     "peer")


def build_conversation_rust(scratch):
    """The Cap'n Proto peer in Rust; None without a toolchain that is new enough, or where its packages cannot be had.
    Cargo says what is up to date."""
    if _version("cargo", "--version") < (1, 85) or not shutil.which("capnp"):
        return None
    folder = ROOT / "test/interop/conversation/rust"
    with _locked(scratch, "conversation-rust"):
        out = pathlib.Path(scratch) / "conversation-rust"
        try:
            run(["cargo", "fetch", "--locked", "--quiet", "--manifest-path", folder / "Cargo.toml"], timeout=300)
        except (RuntimeError, subprocess.TimeoutExpired) as failure:
            print("\n".join("# " + line for line in str(failure).splitlines()[-8:]), flush=True)
            return None
        run(["cargo", "build", "--locked", "--quiet", "--manifest-path", folder / "Cargo.toml", "--target-dir", out], timeout=900)
        return str(out / "debug/peer")


def build_restore_go(scratch):
    """The client of references in Go."""
    folder = ROOT / "test/interop/restore/go"
    schemas = [folder.parent / "restore.capnp", ROOT / "schema/ww/persist.capnp"]
    return _build_go(scratch, "restore-go", folder, sorted(folder.glob("*")) + schemas, "peer")


def install_conversation_python(scratch):
    """The command of the Cap'n Proto peer in Python, with pycapnp in an environment of its own, made once a scratch folder;
    None where it cannot be had: no venv, no package index in reach, no wheel for this machine."""
    folder = ROOT / "test/interop/conversation/python"
    with _locked(scratch, "conversation-python"):
        out = pathlib.Path(scratch) / "conversation-python"
        wanted = (folder / "requirements.txt").read_text() + sys.version
        stamp = out / "stamp"
        if not stamp.exists() or stamp.read_text() != wanted:
            try:
                run([sys.executable, "-m", "venv", "--clear", out], timeout=300)
                run([out / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps",
                     "--only-binary", ":all:", "-r", folder / "requirements.txt"], timeout=300)
            except (RuntimeError, subprocess.TimeoutExpired) as failure:
                print("\n".join("# " + line for line in str(failure).splitlines()[-8:]), flush=True)
                return None
            stamp.write_text(wanted)
        return [str(out / "bin/python"), "-B", str(folder / "peer.py")]


def install_js(scratch):
    """The js-libp2p peer with its packages, installed once a scratch folder; None without Node."""
    if _version("node", "--version") < (20, 0) or not shutil.which("npm"):
        return None
    with _locked(scratch, "js"):
        out = pathlib.Path(scratch) / "js"
        out.mkdir(parents=True, exist_ok=True)
        lock = (ROOT / "test/interop/js/package-lock.json").read_text()
        stamp = out / "stamp"
        for name in ("package.json", "package-lock.json", "peer.mjs"):
            shutil.copy(ROOT / "test/interop/js" / name, out / name)
        if not stamp.exists() or stamp.read_text() != lock:
            run(["npm", "ci", "--prefix", out, "--no-audit", "--no-fund", "--ignore-scripts"], timeout=900)
            stamp.write_text(lock)
        return str(out / "peer.mjs")


def _ip(*args, check=True):
    return run(["ip", *args], check=check)


class Netns:
    """Network namespaces on one bridge, named after `prefix` and this process; removed at the end, and leftovers of killed
    runs first."""

    def __init__(self, prefix, count, subnet="10.77.0"):
        self.count, self.subnet = count, subnet
        self.tag = f"ww-{prefix}-"
        self.names = [f"{self.tag}{os.getpid()}-{i}" for i in range(count)]
        self.hub = f"{self.tag}{os.getpid()}-hub"

    def __enter__(self):
        self._remove_leftovers()
        atexit.register(self._remove)
        _ip("netns", "add", self.hub)
        _ip("-n", self.hub, "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        _ip("-n", self.hub, "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", self.hub, "link", "add", f"p{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", self.hub, "link", "set", f"p{i}", "master", "br0", "up")
            _ip("-n", name, "addr", "add", f"{self.address(i)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "route", "add", "default", "dev", "eth0")
        return self

    def address(self, i):
        return f"{self.subnet}.{i + 1}"

    def inside(self, i, command):
        return ["ip", "netns", "exec", self.names[i], *command]

    def filter(self, *rules):
        """Replaces the bridge's rules by these, such as 'ether type ip numgen random mod 100 < 5 drop'; port i is "p<i>".
        Without rules everything passes."""
        body = "\n".join(rules)
        run(["ip", "netns", "exec", self.hub, "nft", "-f", "-"], stdin="flush ruleset\ntable bridge f {\nchain c {\n"
            f"type filter hook forward priority 0;\n{body}\n}}\n}}\n")

    def counted(self):
        """Packets that the rules with a `counter` met, in the rules' order."""
        listed = run(["ip", "netns", "exec", self.hub, "nft", "list", "ruleset"])
        return [int(n) for n in re.findall(r"counter packets (\d+)", listed)]

    def _remove_leftovers(self):
        for name in run(["ip", "netns", "list"], check=False).split():
            owner = name[len(self.tag):].split("-")[0] if name.startswith(self.tag) else ""
            if owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
                _ip("netns", "del", name, check=False)

    def _remove(self):
        have = run(["ip", "netns", "list"], check=False).split()
        for name in [self.hub] + self.names:
            if name in have:
                _ip("netns", "del", name, check=False)

    def __exit__(self, *_):
        self._remove()


def can_netns():
    """Whether this process may make network namespaces."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"):
        return False
    probe = f"wwprobe{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode != 0:
        return False
    # In some containers a namespace can be made but not entered.
    entered = subprocess.run(["ip", "netns", "exec", probe, "true"], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "del", probe], capture_output=True)
    return entered
