# What a host offers to those who connect: a terminal to log in at, and the session that a login gives.

@0xe82706a772b0927b;

using C = import "ww/c.capnp";
$C.prefix("ww_");

using Cluster = import "cluster.capnp";
using Process = import "process.capnp";

interface Terminal {
  login @0 (account :Signer) -> (session :Session);
}

interface Signer {
  # An account: proves its key by signing what the terminal makes up.

  sign @0 (challenge :Data, salt :Data) -> (signed :Data);
  # `signed` is a libp2p envelope.
}

struct Session {
  # Everything that its holder may do. Later fields are appended; a capability that was not granted is null.

  view @0 :Cluster.View;

  local :group {
    # The host itself.

    peer @1 :Text;
    server @2 :UInt64;
    host @3 :Text;
  }
}

interface Executor {
  exec @0 (session :Session, bytecode :Data, ppid :UInt32, args :List(Text)) -> (process :Process.Process);
  execCached @1 (session :Session, cid :Data, ppid :UInt32, args :List(Text)) -> (process :Process.Process);
}
