//! Takes the steps of a case.
use std::cell::RefCell;
use std::collections::HashMap;
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use capnp::any_pointer;
use capnp::capability::{FromClientHook, Response};
use capnp::{Error, ErrorKind};
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::RpcSystem;
use futures::channel::oneshot;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::conversation_capnp::{note, thing};
use crate::net::{dial, Cut};
use crate::step::{method, Step};
use crate::thing::{pattern, ThingImpl, LIVE, LOCALS};

const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(2);

type Good<T = ()> = Result<T, String>;
type Outcome = Rc<RefCell<Option<Result<Response<any_pointer::Owned>, Error>>>>;

/// A call. Dropped, it is cancelled, or gives back its results.
struct Question {
    task: JoinHandle<()>,
    pipeline: any_pointer::Pipeline,
    outcome: Outcome,
    done: Rc<Notify>,
    value: u64,
}

impl Drop for Question {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Question {
    async fn settle(&self) -> Good {
        if self.outcome.borrow().is_none() {
            tokio::time::timeout(PATIENCE, self.done.notified()).await.map_err(|_| "nothing in time")?;
        }
        Ok(())
    }

    /// What `look` makes of the results.
    async fn results<T>(&self, look: impl FnOnce(note::Reader) -> Good<T>) -> Good<T> {
        self.settle().await?;
        match self.outcome.borrow().as_ref() {
            Some(Ok(response)) => look(response.get().and_then(|any| any.get_as()).map_err(|why| why.to_string())?),
            Some(Err(why)) => Err(why.to_string()),
            None => Err("no outcome".into()),
        }
    }

    async fn fails(&self, s: &Step) -> Good {
        self.settle().await?;
        let outcome = self.outcome.borrow();
        let Some(Err(why)) = outcome.as_ref() else { return Err("did not fail".into()) };
        let kind = match why.kind {
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Disconnected => "disconnected",
            ErrorKind::Unimplemented => "unimplemented",
            _ => "failed",
        };
        if s.args.len() > 1 && (kind != s.word(1) || !why.to_string().contains(&s.text(2))) {
            return Err(format!("{kind}: {why}"));
        }
        Ok(())
    }

    async fn check(&self, s: &Step) -> Good {
        let ask = s.verb == "ask";
        let size = if ask && s.word(1) == "size" { s.expected.map(|n| n as usize) } else { s.data };
        self.results(|got| {
            if s.expected.is_some_and(|want| want != got.get_value()) {
                return Err(format!("answer {} instead of {:?}", got.get_value(), s.expected));
            }
            match size {
                Some(n) if ask && s.word(1) != "put" && !got.get_data().is_ok_and(|data| data == pattern(n)) => {
                    Err("other data".into())
                }
                _ => Ok(()),
            }
        })
        .await
    }
}

struct Conversation {
    cut: Cut,
    rpc: Rc<RefCell<RpcSystem<Side>>>,
    caps: HashMap<String, thing::Client>,
    questions: HashMap<String, Question>,
    lists: HashMap<String, Vec<Question>>,
    resolvers: HashMap<String, oneshot::Sender<Result<thing::Client, Error>>>,
    pushed: Vec<JoinHandle<()>>,
}

fn unknown(name: &str) -> String {
    format!("nothing is called {name}")
}

impl Conversation {
    fn cap(&self, name: &str) -> Good<&thing::Client> {
        self.caps.get(name).ok_or_else(|| unknown(name))
    }

    fn question(&self, name: &str) -> Good<&Question> {
        self.questions.get(name).ok_or_else(|| unknown(name))
    }

    fn list(&self, name: &str) -> Good<&Vec<Question>> {
        self.lists.get(name).ok_or_else(|| unknown(name))
    }

    fn send(&self, target: &str, s: &Step, name: &str, value: u64) -> Good<Question> {
        let (iface, id) = method(name)?;
        let mut call: capnp::capability::Request<any_pointer::Owned, any_pointer::Owned> =
            self.cap(target)?.client.new_call(iface, id, None);
        let mut note = call.get().init_as::<note::Builder>();
        note.set_value(value);
        note.set_via(s.via);
        if let Some(n) = s.data {
            note.set_data(&pattern(n));
        }
        if let Some(cap) = &s.cap {
            note.set_cap(self.cap(cap)?.clone());
        }
        let sent = call.send();
        let (outcome, done) = (Outcome::default(), Rc::new(Notify::new()));
        let (to, bell) = (outcome.clone(), done.clone());
        let task = tokio::task::spawn_local(async move {
            let came = sent.promise.await;
            *to.borrow_mut() = Some(came);
            bell.notify_one();
        });
        Ok(Question { task, pipeline: sent.pipeline, outcome, done, value })
    }

    async fn ask(&self, s: &Step) -> Good {
        let end = Instant::now() + PATIENCE;
        loop {
            let q = self.send(s.word(0), s, s.word(1), s.number(2)?)?;
            let value = q.results(|got| Ok(got.get_value())).await?;
            if s.verb == "ask" || Some(value) == s.expected || Instant::now() > end {
                return q.check(s).await;
            }
            drop(q);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn seen(&self, s: &Step) -> Good {
        let mut want: Vec<u8> = s.values().map(|v| v as u8).collect();
        for i in 1..s.args.len() {
            want.push(s.number(i)? as u8);
        }
        let q = self.send(s.word(0), &Step::default(), "seen", 0)?;
        let have = q.results(|got| Ok(got.get_data().map_err(|why| why.to_string())?.to_vec())).await?;
        let have: Vec<u8> = have.into_iter().filter(|b| s.verb == "seen" || want.contains(b)).collect();
        if have == want {
            Ok(())
        } else {
            Err(format!("the object saw {have:?}"))
        }
    }

    fn push(&self, target: &str, value: u64) -> Good<impl Future<Output = Result<(), Error>> + 'static> {
        let mut call = self.cap(target)?.push_request();
        call.get().set_value(value);
        Ok(call.send())
    }

    async fn stream_fails(&self, s: &Step) -> Good {
        let mut outcome = self.push(s.word(0), s.number(1)?)?.await;
        if outcome.is_ok() {
            self.ask(&Step::parse("ask boot sequence")?).await?;
            outcome = self.push(s.word(0), 1)?.await;
        }
        match outcome {
            Ok(()) => Err("the stream did not fail".into()),
            Err(why) if why.to_string().contains(&s.text(2)) => Ok(()),
            Err(why) => Err(format!("another text: {why}")),
        }
    }

    /// What a capability leads to by now, and the object of ours there.
    fn behind_now(&self, name: &str) -> Good<(thing::Client, Option<*const ThingImpl>)> {
        let mut hook = self.cap(name)?.as_client_hook().add_ref();
        while let Some(next) = hook.get_resolved() {
            hook = next;
        }
        let cap = thing::Client::new(hook);
        let object = LOCALS.with_borrow(|all| all.get_local_server_of_resolved(&cap));
        Ok((cap, object.map(|object| Rc::as_ptr(&object))))
    }

    /// The object of ours there, some time. An embargo goes on only while somebody waits for it, and who asks a promise that is
    /// resolved to wait, waits for ever: so both are asked in turn.
    async fn behind(&self, name: &str) -> Good<*const ThingImpl> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (cap, object) = self.behind_now(name)?;
            if let Some(object) = object {
                return Ok(object);
            }
            if Instant::now() > end {
                return Err(format!("{name} is not one of our objects"));
            }
            match cap.as_client_hook().when_more_resolved() {
                Some(resolved) => drop(tokio::time::timeout(PAUSE, resolved).await),
                None => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn locals(&self, want: u64) -> Good {
        let end = Instant::now() + PATIENCE;
        while LIVE.get() != want && Instant::now() < end {
            tokio::time::sleep(PAUSE).await;
        }
        if LIVE.get() == want {
            Ok(())
        } else {
            Err(format!("{} local objects instead of {want}", LIVE.get()))
        }
    }

    fn chain(&mut self, s: &Step) -> Good {
        let mut at = self.cap(s.word(1))?.clone();
        for _ in 0..s.number(2)? {
            let sent = at.make_request().send();
            at = sent.pipeline.get_cap();
            drop(sent.promise); // the calls on it go through all the same
        }
        self.caps.insert(s.word(0).into(), at);
        Ok(())
    }

    async fn step(&mut self, s: &Step) -> Good {
        let name = s.word(0).to_string();
        match s.verb.as_str() {
            "ask" | "until" => self.ask(s).await?,
            "send" => {
                let q = self.send(s.word(1), s, s.word(2), s.number(3)?)?;
                self.questions.insert(name, q);
            }
            "calls" => {
                let all: Good<Vec<_>> = s.values().map(|v| self.send(s.word(1), s, s.word(2), v)).collect();
                self.lists.insert(name, all?);
            }
            "waits" => {
                for q in self.list(&name)? {
                    let got = q.results(|got| Ok(got.get_value())).await?;
                    if got != q.value {
                        return Err(format!("answer {got} instead of {}", q.value));
                    }
                }
            }
            "failsall" => {
                for q in self.list(&name)? {
                    q.fails(s).await?;
                }
            }
            "wait" => self.question(&name)?.check(s).await?,
            "fails" => self.question(&name)?.fails(s).await?,
            "pending" if self.question(&name)?.outcome.borrow().is_some() => return Err("has its outcome already".into()),
            "pending" => {}
            "null" if self.question(&name)?.results(|got| Ok(got.has_cap())).await? => {
                return Err("a capability where none should be".into())
            }
            "null" => {}
            "pipe" => {
                let hook = self.question(s.word(1))?.pipeline.get_pointer_field(1).as_cap();
                self.caps.insert(name, thing::Client::new(hook));
            }
            "take" => {
                let cap = self.question(s.word(1))?.results(|got| got.get_cap().map_err(|why| why.to_string())).await?;
                self.caps.insert(name, cap);
            }
            "chain" => self.chain(s)?,
            "bootstrap" => {
                let cap = self.rpc.borrow_mut().bootstrap(Side::Server);
                self.caps.insert(name, cap);
            }
            "new" => {
                self.caps.insert(name, ThingImpl::client(self.cut.clone()));
            }
            "promise" => {
                let (sender, receiver) = oneshot::channel();
                let gone = |_| Err(Error::failed("given up".into()));
                self.caps
                    .insert(name.clone(), capnp_rpc::new_future_client(async move { receiver.await.unwrap_or_else(gone) }));
                self.resolvers.insert(name, sender);
            }
            "resolve" => {
                let to = self.cap(s.word(1))?.clone();
                let _ = self.resolvers.remove(&name).ok_or_else(|| unknown(&name))?.send(Ok(to));
            }
            "reject" => {
                let why = Err(Error::failed("asked to reject".into()));
                let _ = self.resolvers.remove(&name).ok_or_else(|| unknown(&name))?.send(why);
            }
            "abandon" => {
                self.resolvers.remove(&name).ok_or_else(|| unknown(&name))?;
                self.caps.remove(&name);
            }
            "drop" => {
                if self.caps.remove(&name).is_none() && self.questions.remove(&name).is_none() {
                    return Err(unknown(&name));
                }
            }
            "same" if self.behind(&name).await? != self.behind(s.word(1)).await? => return Err("different objects".into()),
            "same" => {}
            "differ" if self.behind_now(&name)?.1.is_some() => return Err("resolved already".into()),
            "differ" => {}
            "locals" => self.locals(s.number(0)?).await?,
            "seen" | "inorder" => self.seen(s).await?,
            "stream" => {
                for v in s.values() {
                    self.push(&name, v)?.await.map_err(|why| why.to_string())?;
                }
            }
            "pushes" => {
                for v in s.values() {
                    let sent = self.push(&name, v)?;
                    self.pushed.push(tokio::task::spawn_local(async move { drop(sent.await) }));
                }
            }
            "streamfails" => self.stream_fails(s).await?,
            "disconnect" => (self.cut)(),
            _ => return Err("unknown step".into()),
        }
        Ok(())
    }

    /// What every conversation ends with: nothing is left, on either side.
    async fn finish(&mut self, connected: bool) -> Good {
        self.lists.clear();
        self.questions.clear();
        self.resolvers.clear();
        self.pushed.drain(..).for_each(|task| task.abort());
        self.caps.retain(|name, _| name == "boot" && connected);
        if connected {
            self.step(&Step::parse("ask boot keep")?).await?;
            self.step(&Step::parse("until boot live = 1")?).await?;
        }
        self.caps.clear();
        self.locals(0).await
    }
}

async fn talk(c: &mut Conversation, lines: &[String]) -> Good {
    let mut connected = true;
    for line in lines {
        let s = Step::parse(line)?;
        match s.verb.as_str() {
            "slow" | "hold" | "inline" | "wire" | "before" | "not" => {}
            "end" => connected = false,
            _ => c.step(&s).await.map_err(|why| format!("{line}: {why}"))?,
        }
    }
    c.finish(connected).await.map_err(|why| format!("end of the conversation: {why}"))
}

pub async fn run_case(address: &str, lines: &[String]) -> Good {
    let (rpc, cut) = dial(address).map_err(|why| why.to_string())?;
    let rpc = Rc::new(RefCell::new(rpc));
    let boot = rpc.borrow_mut().bootstrap(Side::Server);
    let driven = rpc.clone();
    let driver = tokio::task::spawn_local(poll_fn(move |cx| Pin::new(&mut *driven.borrow_mut()).poll(cx)));
    let mut c = Conversation {
        cut,
        rpc,
        caps: HashMap::from([("boot".to_string(), boot)]),
        questions: HashMap::new(),
        lists: HashMap::new(),
        resolvers: HashMap::new(),
        pushed: Vec::new(),
    };
    let outcome = talk(&mut c, lines).await;
    driver.abort();
    (c.cut)();
    outcome
}
