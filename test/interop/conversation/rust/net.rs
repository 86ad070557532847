//! Sockets, and the RPC system on one.
use std::net::Shutdown;
use std::rc::Rc;

use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::{twoparty, RpcSystem};
use futures::{AsyncRead, AsyncWrite};
use tokio_util::compat::{TokioAsyncReadCompatExt, TokioAsyncWriteCompatExt};

use crate::conversation_capnp::thing;
use crate::thing::ThingImpl;

/// Cuts a connection, whatever is on its way.
pub type Cut = Rc<dyn Fn()>;

type Network = Box<twoparty::VatNetwork<Box<dyn AsyncRead + Unpin>>>;

fn network(reader: Box<dyn AsyncRead + Unpin>, writer: Box<dyn AsyncWrite + Unpin>, side: Side) -> Network {
    Box::new(twoparty::VatNetwork::new(reader, writer, side, Default::default()))
}

fn on_tcp(socket: std::net::TcpStream, side: Side) -> std::io::Result<(Network, Cut)> {
    let twin = socket.try_clone()?;
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    let (reader, writer) = tokio::net::TcpStream::from_std(socket)?.into_split();
    let cut = Rc::new(move || drop(twin.shutdown(Shutdown::Both)));
    Ok((network(Box::new(reader.compat()), Box::new(writer.compat_write()), side), cut))
}

fn on_unix(socket: std::os::unix::net::UnixStream, side: Side) -> std::io::Result<(Network, Cut)> {
    let twin = socket.try_clone()?;
    socket.set_nonblocking(true)?;
    let (reader, writer) = tokio::net::UnixStream::from_std(socket)?.into_split();
    let cut = Rc::new(move || drop(twin.shutdown(Shutdown::Both)));
    Ok((network(Box::new(reader.compat()), Box::new(writer.compat_write()), side), cut))
}

/// A connection to a server, which is not driven yet.
pub fn dial(address: &str) -> std::io::Result<(RpcSystem<Side>, Cut)> {
    let (net, cut) = match address.strip_prefix("unix:") {
        Some(path) => on_unix(std::os::unix::net::UnixStream::connect(path)?, Side::Client)?,
        None => on_tcp(std::net::TcpStream::connect(address.trim_start_matches("tcp:"))?, Side::Client)?,
    };
    Ok((RpcSystem::new(net, None), cut))
}

fn accepted((net, cut): (Network, Cut)) {
    let boot: thing::Client = ThingImpl::client(cut);
    tokio::task::spawn_local(async move {
        if let Err(why) = RpcSystem::new(net, Some(boot.client)).await {
            eprintln!("connection: {why}");
        }
    });
}

pub async fn serve(address: &str) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(path) = address.strip_prefix("unix:") {
        let listener = tokio::net::UnixListener::bind(path)?;
        println!("LISTEN {address}");
        loop {
            accepted(on_unix(listener.accept().await?.0.into_std()?, Side::Server)?);
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("LISTEN tcp:{}", listener.local_addr()?);
    loop {
        accepted(on_tcp(listener.accept().await?.0.into_std()?, Side::Server)?);
    }
}
