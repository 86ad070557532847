//! Thing of conversation.capnp, on the Rust implementation.
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::{Rc, Weak};

use capnp::capability::{Params, Results};
use capnp::{Error, ErrorKind};
use futures::channel::oneshot;

use crate::conversation_capnp::{base, box_, left, note, right, saver, thing};
use crate::net::Cut;

thread_local! {
    /// Things alive in this process.
    pub static LIVE: Cell<u64> = const { Cell::new(0) };
    /// To find the object behind a capability.
    pub static LOCALS: RefCell<capnp_rpc::CapabilityServerSet<ThingImpl, thing::Client>> = RefCell::default();
}

pub fn pattern(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * 7 + 1) as u8).collect()
}

/// What a waiting call is told at the next `go`.
type Gone = (u64, Option<thing::Client>);
type Done = Result<(), Error>;
type In = Params<note::Owned>;
type Out = Results<note::Owned>;

pub struct ThingImpl {
    /// Of the connection that this object was made for.
    cut: Cut,
    me: Weak<ThingImpl>,
    kept: RefCell<Option<thing::Client>>,
    resolver: RefCell<Option<oneshot::Sender<Result<thing::Client, Error>>>>,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<Gone>>>,
    remembered: RefCell<Vec<u8>>,
    boxed: RefCell<Vec<u8>>,
    next: Cell<u64>,
    waited: Cell<u64>,
    canceled: Cell<u64>,
}

impl Drop for ThingImpl {
    fn drop(&mut self) {
        LIVE.set(LIVE.get() - 1);
    }
}

/// A call of `later` or `early` that waits; dropped while it does, it was cancelled.
struct Waiter(Rc<ThingImpl>, u64);
impl Drop for Waiter {
    fn drop(&mut self) {
        if self.0.waiting.borrow_mut().remove(&self.1).is_some() {
            self.0.canceled.set(self.0.canceled.get() + 1);
        }
    }
}

fn failed<T>(why: &str) -> Result<T, Error> {
    Err(Error::failed(why.into()))
}

fn answer(out: &mut Out, value: u64) -> Done {
    out.get().set_value(value);
    Ok(())
}

fn cap_of(note: note::Reader) -> Result<Option<thing::Client>, Error> {
    note.has_cap().then(|| note.get_cap()).transpose()
}

impl ThingImpl {
    pub fn client(cut: Cut) -> thing::Client {
        LIVE.set(LIVE.get() + 1);
        let made = Rc::new_cyclic(|me| ThingImpl {
            cut,
            me: me.clone(),
            kept: RefCell::default(),
            resolver: RefCell::default(),
            waiting: RefCell::default(),
            remembered: RefCell::default(),
            boxed: RefCell::default(),
            next: Cell::default(),
            waited: Cell::default(),
            canceled: Cell::default(),
        });
        LOCALS.with_borrow_mut(|all| {
            all.gc();
            all.new_client_from_rc(made)
        })
    }

    /// Sends on at once what the parameters say, and answers with the answer.
    fn relay(&self, params: In, mut out: Out) -> impl Future<Output = Done> + 'static {
        let sent = (|| {
            let Some(kept) = self.kept.borrow().clone() else { return failed("nothing kept") };
            let got = params.get()?;
            let mut call: capnp::capability::Request<note::Owned, note::Owned> =
                kept.client.new_call(<thing::Client as capnp::traits::HasTypeId>::TYPE_ID, got.get_via(), None);
            call.get().set_value(got.get_value());
            if let Some(cap) = cap_of(got)? {
                call.get().set_cap(cap);
            }
            Ok(call.send())
        })();
        async move {
            let response = sent?.promise.await?;
            out.set(response.get()?)
        }
    }

    /// Waits for the next `go`.
    fn wait(self: &Rc<Self>) -> impl Future<Output = Result<Gone, Error>> + 'static {
        let (sender, receiver) = oneshot::channel();
        self.waited.set(self.waited.get() + 1);
        self.waiting.borrow_mut().insert(self.waited.get(), sender);
        let waiter = Waiter(self.clone(), self.waited.get());
        async move {
            let gone = receiver.await;
            drop(waiter);
            gone.map_err(|_| Error::failed("forgotten".into()))
        }
    }
}

impl base::Server for ThingImpl {
    async fn base(self: Rc<Self>, params: base::BaseParams, mut out: base::BaseResults) -> Done {
        answer(&mut out, params.get()?.get_value() + 100)
    }
}

impl left::Server for ThingImpl {
    async fn left(self: Rc<Self>, params: left::LeftParams, mut out: left::LeftResults) -> Done {
        answer(&mut out, params.get()?.get_value() + 200)
    }
}

impl right::Server for ThingImpl {
    async fn right(self: Rc<Self>, params: right::RightParams, mut out: right::RightResults) -> Done {
        answer(&mut out, params.get()?.get_value() + 300)
    }
}

impl box_::Server<capnp::data::Owned> for ThingImpl {
    async fn put(self: Rc<Self>, params: box_::PutParams<capnp::data::Owned>, _: box_::PutResults<capnp::data::Owned>) -> Done {
        *self.boxed.borrow_mut() = params.get()?.get_content()?.to_vec();
        Ok(())
    }
    async fn get(
        self: Rc<Self>,
        _: box_::GetParams<capnp::data::Owned>,
        mut out: box_::GetResults<capnp::data::Owned>,
    ) -> Done {
        out.get().set_content(self.boxed.borrow().as_slice())
    }
}

impl saver::Server for ThingImpl {
    async fn save(self: Rc<Self>, params: saver::SaveParams, mut out: saver::SaveResults) -> Done {
        out.get().set_sturdy_ref(params.get()?.get_seal_for()?);
        Ok(())
    }
}

impl thing::Server for ThingImpl {
    async fn echo(self: Rc<Self>, params: In, mut out: Out) -> Done {
        let got = params.get()?;
        self.remembered.borrow_mut().push(got.get_value() as u8);
        if got.has_data() {
            out.get().set_data(got.get_data()?);
        }
        answer(&mut out, got.get_value())
    }
    async fn fail(self: Rc<Self>, params: In, _: Out) -> Done {
        let kind = match params.get()?.get_value() {
            0 => ErrorKind::Failed,
            1 => ErrorKind::Overloaded,
            2 => ErrorKind::Disconnected,
            _ => ErrorKind::Unimplemented,
        };
        Err(Error { kind, extra: "asked to fail".into() })
    }
    async fn keep(self: Rc<Self>, params: In, _: Out) -> Done {
        let cap = cap_of(params.get()?)?;
        let before = self.kept.replace(cap);
        drop(before); // with nothing borrowed: it may be an object of ours
        Ok(())
    }
    async fn give(self: Rc<Self>, _: In, mut out: Out) -> Done {
        if let Some(cap) = self.kept.borrow().clone() {
            out.get().set_cap(cap);
        }
        Ok(())
    }
    // What a relayed call is sent with is decided when the call comes, not when its future is first polled.
    fn call(self: Rc<Self>, params: In, out: Out) -> impl Future<Output = Done> + 'static {
        self.relay(params, out)
    }
    fn tail(self: Rc<Self>, params: In, out: Out) -> impl Future<Output = Done> + 'static {
        self.relay(params, out)
    }
    async fn make(self: Rc<Self>, _: In, mut out: Out) -> Done {
        out.get().set_cap(ThingImpl::client(self.cut.clone()));
        Ok(())
    }
    async fn self_(self: Rc<Self>, _: In, mut out: Out) -> Done {
        out.get().set_cap(capnp_rpc::new_client_from_rc(self.me.upgrade().expect("alive")));
        Ok(())
    }
    async fn mirror(self: Rc<Self>, params: In, mut out: Out) -> Done {
        if let Some(cap) = cap_of(params.get()?)? {
            out.get().set_cap(cap);
        }
        Ok(())
    }
    fn later(self: Rc<Self>, params: In, mut out: Out) -> impl Future<Output = Done> + 'static {
        let waiting = self.wait();
        async move {
            let _held = params;
            let (value, cap) = waiting.await?;
            if let Some(cap) = cap {
                out.get().set_cap(cap);
            }
            answer(&mut out, value)
        }
    }
    async fn go(self: Rc<Self>, params: In, mut out: Out) -> Done {
        let got = params.get()?;
        for (_, waiter) in self.waiting.take() {
            let _ = waiter.send((got.get_value(), cap_of(got)?));
        }
        answer(&mut out, got.get_value())
    }
    async fn sequence(self: Rc<Self>, _: In, mut out: Out) -> Done {
        answer(&mut out, self.next.replace(self.next.get() + 1))
    }
    async fn push(self: Rc<Self>, params: thing::PushParams) -> Done {
        let value = params.get()?.get_value();
        if value == 666 {
            return failed("asked to fail");
        }
        self.remembered.borrow_mut().push(value as u8);
        Ok(())
    }
    async fn seen(self: Rc<Self>, _: In, mut out: Out) -> Done {
        let seen = self.remembered.borrow();
        out.get().set_data(&seen);
        answer(&mut out, seen.len() as u64)
    }
    async fn live(self: Rc<Self>, _: In, mut out: Out) -> Done {
        answer(&mut out, LIVE.get())
    }
    async fn canceled(self: Rc<Self>, _: In, mut out: Out) -> Done {
        answer(&mut out, self.canceled.get())
    }
    async fn promise(self: Rc<Self>, _: In, mut out: Out) -> Done {
        let (sender, receiver) = oneshot::channel();
        *self.resolver.borrow_mut() = Some(sender);
        out.get().set_cap(capnp_rpc::new_future_client(async move { receiver.await.unwrap_or_else(|_| failed("dropped")) }));
        Ok(())
    }
    async fn settle(self: Rc<Self>, params: In, _: Out) -> Done {
        let got = params.get()?;
        let Some(resolver) = self.resolver.take() else { return failed("no promise") };
        let _ = resolver.send(if got.get_value() == 1 { failed("asked to reject") } else { got.get_cap() });
        Ok(())
    }
    fn early(self: Rc<Self>, _: In, mut out: Out) -> impl Future<Output = Done> + 'static {
        let waiting = self.wait();
        out.get().set_cap(ThingImpl::client(self.cut.clone()));
        let offered = out.set_pipeline();
        drop(self);
        async move {
            offered?;
            answer(&mut out, waiting.await?.0)
        }
    }
    async fn size(self: Rc<Self>, params: In, mut out: Out) -> Done {
        let n = params.get()?.get_value();
        out.get().set_data(&pattern(n as usize));
        answer(&mut out, n)
    }
    async fn waiting(self: Rc<Self>, _: In, mut out: Out) -> Done {
        answer(&mut out, self.waiting.borrow().len() as u64)
    }
    fn hangup(self: Rc<Self>, _: In, _: Out) -> impl Future<Output = Done> + 'static {
        (self.cut)();
        std::future::pending()
    }
}
