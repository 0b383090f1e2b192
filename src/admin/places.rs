//! The places of connections: how many there are, and who makes room for a newcomer.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// So many places, and who has them.
pub(super) struct Places {
    permits: Arc<Semaphore>,
    /// Not more than there are permits.
    taken: Vec<Weak<Place>>,
    /// Somebody may make room now.
    idle: Arc<Notify>,
}

impl Places {
    /// All are free.
    pub(super) fn new(count: usize) -> Self {
        let permits = Arc::new(Semaphore::new(count));
        Self { permits, taken: Vec::new(), idle: Arc::default() }
    }

    /// A place, as soon as there is one. If all are taken, the connection that was idle longest makes room, those that
    /// never asked first; if none is idle, the first that comes to be.
    pub(super) async fn next(&mut self) -> Arc<Place> {
        let permit = self.permit().await;
        let standing = Standing { has_asked: false, is_asking: false, since: Instant::now() };
        let place = Arc::new(Place {
            _permit: permit,
            standing: Mutex::new(standing),
            ends: CancellationToken::new(),
            idle: self.idle.clone(),
        });
        self.taken.push(Arc::downgrade(&place));
        place
    }

    async fn permit(&mut self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(permit) = self.permits.clone().try_acquire_owned() {
                self.taken.retain(|place| place.strong_count() > 0);
                return permit;
            }
            let freed = self.permits.clone().acquire_owned();
            let idlest = self.taken.iter().filter_map(Weak::upgrade);
            let idlest = idlest.filter_map(|place| Some((place.idle()?, place)));
            if let Some((_, place)) = idlest.min_by_key(|(idle, _)| *idle) {
                place.ends.cancel();
                drop(place);
                return freed.await.expect("the semaphore is never closed");
            }
            tokio::select! {
                permit = freed => return permit.expect("the semaphore is never closed"),
                () = self.idle.notified() => {}
            }
        }
    }
}

/// The place of one connection, free again when this is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    standing: Mutex<Standing>,
    ends: CancellationToken,
    idle: Arc<Notify>,
}

struct Standing {
    has_asked: bool,
    /// Whether a request is under way, or a stream.
    is_asking: bool,
    /// When it was last seen to live: it came, took in bytes, or its last request was answered.
    since: Instant,
}

impl Place {
    /// A request is under way, for as long as what this gives is held.
    pub(super) fn asks(self: &Arc<Self>) -> Asking {
        let mut standing = self.standing();
        (standing.has_asked, standing.is_asking) = (true, true);
        Asking(self.clone())
    }

    /// Its client has taken in bytes.
    pub(super) fn moves(&self) {
        self.standing().since = Instant::now();
    }

    /// Waits until it is to make room.
    pub(super) async fn ends(&self) {
        self.ends.cancelled().await;
    }

    /// How fit it is to make room, the least first; none if it is not idle, or makes room already.
    fn idle(&self) -> Option<(bool, Instant)> {
        let standing = self.standing();
        let is_idle = !standing.is_asking && !self.ends.is_cancelled();
        is_idle.then_some((standing.has_asked, standing.since))
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing is done under it that could panic.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is under way.
pub(super) struct Asking(Arc<Place>);

impl Drop for Asking {
    fn drop(&mut self) {
        let Self(place) = self;
        let mut standing = place.standing();
        (standing.is_asking, standing.since) = (false, Instant::now());
        drop(standing);
        place.idle.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn is_to_go(place: &Place) -> bool {
        place.ends.is_cancelled()
    }

    #[tokio::test]
    async fn who_never_asked_makes_room_first_and_then_who_is_idle_longest() {
        let mut places = Places::new(3);
        let (first, second, silent) =
            (places.next().await, places.next().await, places.next().await);
        drop((first.asks(), second.asks()));
        let mut context = Context::from_waker(Waker::noop());
        for (idlest, other) in [(&silent, &first), (&first, &second)] {
            assert!(pin!(places.next()).poll(&mut context).is_pending());
            assert!(is_to_go(idlest) && !is_to_go(other));
        }
        second.moves();
        assert!(!is_to_go(&second));
    }

    #[tokio::test]
    async fn who_is_answered_stays_and_makes_room_afterwards() {
        let mut places = Places::new(1);
        let only = places.next().await;
        let asking = only.asks();
        let mut context = Context::from_waker(Waker::noop());
        let mut next = pin!(places.next());
        assert!(next.as_mut().poll(&mut context).is_pending());
        assert!(!is_to_go(&only));
        drop(asking);
        assert!(next.as_mut().poll(&mut context).is_pending());
        assert!(is_to_go(&only));
        drop(only);
        assert!(matches!(next.as_mut().poll(&mut context), Poll::Ready(_)));
    }
}
