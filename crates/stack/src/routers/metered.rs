//! Answers on their way from a provider: counted, watched for failures, ended by the first error.

use crate::table::{Place, Placed, UnderWay, Usage};
use chaski_api::{Error, Result, models::Model};
use chaski_provider::{
    Context as RequestContext, Counted, EventStream, OpenSpan, Payload, Reply, Tokens, Trail,
};
use chaski_upstream::{CountRepeats, Repeats};
use futures_util::{FutureExt, Stream, StreamExt, future::BoxFuture};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// An answer of a provider.
pub(crate) trait Answer: Sized + Send + 'static {
    /// Waits until it has begun: for the first event, if it is a stream.
    fn begun(self) -> BoxFuture<'static, Result<Self>>;

    /// What `answer` comes to. Where a stream is wanted it is there at once, and `answer` runs when
    /// its first event is asked for.
    fn later(
        answer: BoxFuture<'static, Result<Self>>,
        streams: bool,
    ) -> BoxFuture<'static, Result<Self>>;

    /// The answer, with everything that `meter` looks for seen as it passes.
    fn metered(self, meter: Meter) -> Self;
}

/// What watches over one answer.
pub(crate) struct Meter {
    placed: Arc<Placed<Model>>,
    index: usize,
    trail: Arc<Trail>,
    /// Whether the caller's own credentials are used.
    as_caller: bool,
    tokens: Tokens,
    /// Ends together with the answer.
    span: OpenSpan,
    /// Counts the request as under way until the answer has ended.
    _under_way: UnderWay,
}

impl Meter {
    /// Counts a request that is sent to the place at `index`, with a span of this name.
    pub(crate) fn new(
        placed: &Arc<Placed<Model>>,
        index: usize,
        cx: &RequestContext,
        span: &'static str,
    ) -> Self {
        Self::with_span(placed, index, cx, cx.spans.start(span))
    }

    /// The same, with a span that has begun.
    pub(crate) fn with_span(
        placed: &Arc<Placed<Model>>,
        index: usize,
        cx: &RequestContext,
        mut span: OpenSpan,
    ) -> Self {
        let place = &placed.places[index];
        place.usage.sent();
        cx.trail.attempt();
        // The names of OpenTelemetry's conventions for generative AI.
        span.set_with("gen_ai.request.model", || placed.resource.identifier.clone());
        span.set_with("gen_ai.provider.name", || place.provider_id.clone());
        Self {
            placed: Arc::clone(placed),
            index,
            trail: Arc::clone(&cx.trail),
            as_caller: place.is_asked_as_caller(cx),
            tokens: Tokens::default(),
            span,
            _under_way: place.load.enter(),
        }
    }

    /// The context of what the provider does.
    pub(crate) fn enter(&self, cx: &mut RequestContext) {
        cx.spans = self.span.context(&cx.spans);
        cx.repeats = counted(self.place(), cx);
    }

    fn place(&self) -> &Place<Model> {
        &self.placed.places[self.index]
    }

    fn see(&mut self, tokens: Option<Tokens>) {
        if let Some(tokens) = tokens {
            self.tokens = self.tokens.max(tokens);
        }
    }

    /// Notes that the provider did not answer, or not to the end.
    pub(crate) fn failed(&self, error: &Error) {
        self.place().usage.failed();
        self.span.fail();
        if self.placed.places.len() > 1
            && let Some(pause) = super::retry::rest(error, self.as_caller, self.placed.cooldown)
        {
            self.place().load.failed(pause);
        }
    }
}

/// Repeats of a call to this place that are counted like requests of their own.
pub(crate) fn counted(place: &Place<Model>, cx: &RequestContext) -> Repeats {
    let (usage, trail) = (Arc::clone(&place.usage), Arc::clone(&cx.trail));
    Repeats::counted(Arc::new(Attempts { usage, trail }))
}

/// Counts the attempts of a call beyond the first.
struct Attempts {
    usage: Arc<Usage>,
    trail: Arc<Trail>,
}

impl CountRepeats for Attempts {
    fn repeated(&self) {
        self.usage.failed();
        self.usage.sent();
        self.trail.attempt();
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.tokens != Tokens::default() {
            self.place().usage.spent(self.tokens);
            self.trail.spend(self.tokens);
            let Tokens { prompt, completion } = self.tokens;
            self.span.set("gen_ai.usage.input_tokens", prompt);
            self.span.set("gen_ai.usage.output_tokens", completion);
        }
    }
}

/// A stream that counts what it takes. Nothing follows its first error.
struct Metered<E> {
    events: EventStream<Payload<E>>,
    /// Nothing after the end.
    meter: Option<Meter>,
}

impl<E: Unpin> Stream for Metered<E>
where
    Payload<E>: Counted,
{
    type Item = Result<Payload<E>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(meter) = &mut this.meter else { return Poll::Ready(None) };
        let event = this.events.poll_next_unpin(cx);
        match &event {
            Poll::Ready(Some(Ok(event))) => meter.see(event.tokens()),
            Poll::Ready(Some(Err(error))) => {
                meter.failed(error);
                this.meter = None;
            }
            Poll::Ready(None) => this.meter = None,
            Poll::Pending => {}
        }
        event
    }
}

impl<F, E> Answer for Reply<F, E>
where
    F: Send + 'static,
    E: Send + Unpin + 'static,
    Payload<F>: Counted,
    Payload<E>: Counted,
{
    fn begun(self) -> BoxFuture<'static, Result<Self>> {
        let Self::Stream(mut events) = self else {
            return std::future::ready(Ok(self)).boxed();
        };
        async move {
            match events.next().await {
                Some(Ok(first)) => {
                    let first = futures_util::stream::once(std::future::ready(Ok(first)));
                    Ok(Self::Stream(first.chain(events).boxed()))
                }
                Some(Err(error)) => Err(error),
                None => Ok(Self::Stream(futures_util::stream::empty().boxed())),
            }
        }
        .boxed()
    }

    fn later(
        answer: BoxFuture<'static, Result<Self>>,
        streams: bool,
    ) -> BoxFuture<'static, Result<Self>> {
        if !streams {
            return answer;
        }
        let events = answer.map(|answer| match answer {
            Ok(Self::Stream(events)) => events,
            Ok(Self::Full(_)) => {
                let error = Error::internal("a request for a stream was answered at once");
                futures_util::stream::once(std::future::ready(Err(error))).boxed()
            }
            Err(error) => futures_util::stream::once(std::future::ready(Err(error))).boxed(),
        });
        std::future::ready(Ok(Self::Stream(events.flatten_stream().boxed()))).boxed()
    }

    fn metered(self, mut meter: Meter) -> Self {
        match self {
            Self::Full(payload) => {
                meter.see(payload.tokens());
                Self::Full(payload)
            }
            Self::Stream(events) => Self::Stream(Metered { events, meter: Some(meter) }.boxed()),
        }
    }
}

impl<F: Send + 'static> Answer for Payload<F>
where
    Self: Counted,
{
    fn begun(self) -> BoxFuture<'static, Result<Self>> {
        std::future::ready(Ok(self)).boxed()
    }

    fn later(
        answer: BoxFuture<'static, Result<Self>>,
        _streams: bool,
    ) -> BoxFuture<'static, Result<Self>> {
        answer
    }

    fn metered(self, mut meter: Meter) -> Self {
        meter.see(self.tokens());
        self
    }
}
