# Publish and subscribe by topic.

@0xf9d8a0180405d9ed;

using C = import "ww/c.capnp";
$C.prefix("ww_");

interface Router {
  join @0 (name :Text) -> (topic :Topic);
}

interface Topic {
  publish @0 (msg :Data) -> stream;
  subscribe @1 (consumer :Consumer, buf :UInt16 = 32) -> ();
  # Runs until it is cancelled. `buf` messages may wait for a slow consumer.

  name @2 () -> (name :Text);

  interface Consumer {
    consume @0 (msg :Data) -> stream;
  }
}
