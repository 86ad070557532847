# Channels: values pass from senders to receivers, each value to one receiver.

@0x872a451f9aa74ebf;

using C = import "ww/c.capnp";
$C.prefix("ww_");

interface Closer {
  close @0 () -> ();
}

interface Sender(T) {
  send @0 (value :T) -> ();
  # Returns when a receiver took the value.
}

interface Recver(T) {
  recv @0 () -> (value :T);
}

interface SendCloser(T) extends(Sender(T), Closer) {
  newSender @0 () -> (sender :Sender(T));
  newCloser @1 () -> (closer :Closer);
}

interface Chan(T) extends(SendCloser(T), Recver(T)) {
  newSendCloser @0 () -> (sendCloser :SendCloser(T));
  newRecver @1 () -> (recver :Recver(T));
}
