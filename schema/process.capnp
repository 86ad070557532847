# Processes: WASM programs that hold the capabilities they were given.

@0x9a51e53177277763;

using C = import "ww/c.capnp";
$C.prefix("ww_");

interface Process {
  wait @0 () -> (exitCode :UInt32);
  kill @1 () -> ();
}

interface BytecodeCache {
  put @0 (bytecode :Data) -> (cid :Data);
  get @1 (cid :Data) -> (bytecode :Data);
  has @2 (cid :Data) -> (has :Bool);
}

interface BootContext {
  # What a process can ask about itself.

  pid @0 () -> (pid :UInt32);
  cid @1 () -> (cid :Data);
  args @2 () -> (args :List(Text));
  caps @3 () -> (caps :List(Capability));
  setPid @4 (pid :UInt32) -> ();
  setCid @5 (cid :Data) -> ();
}
