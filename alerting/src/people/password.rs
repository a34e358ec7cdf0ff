//! Passwords: Argon2id hashes, made on threads that may block and not on too many of them.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use rand::RngCore as _;
use tokio::sync::Semaphore;

use crate::error::Error;

/// Shortest password, in characters. NIST SP 800-63B asks for 8 beside a second factor and 15
/// without; it lets a rate limit count, which `throttle` is.
pub(super) const CHARACTERS_MIN: usize = 12;

/// Longest password, in bytes, so that hashing one cannot be made expensive.
pub(super) const BYTES_MAX: usize = 512;

/// Memory and passes of Argon2id as in OWASP's password storage cheat sheet: 19 MiB, 2, 1.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes at a time: a flood of logins takes two threads and 38 MiB, never more.
const PERMITS: usize = 2;

/// Checks that may wait for those threads. A check takes some tens of milliseconds, so that the
/// last in the queue waits for a second or two; a longer queue would only keep everybody waiting.
const WAITING_MAX: usize = 64;

/// When to come back to a queue that is full: after about the time that it takes to empty.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Makes and checks password hashes.
#[derive(Debug)]
pub(super) struct Hasher {
    permits: Arc<Semaphore>,
    /// Of checks that run or wait. New hashes need none: who may make them is known already.
    places: Semaphore,
}

impl Default for Hasher {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(PERMITS)),
            places: Semaphore::new(PERMITS + WAITING_MAX),
        }
    }
}

impl Hasher {
    /// The hash to store, in PHC string format.
    pub(super) async fn hash(&self, password: &str) -> Result<String, Error> {
        check(password)?;
        let password = password.to_owned();
        self.run(move || {
            let salt = salt()?;
            let hash = argon2()?.hash_password(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(failed)
        })
        .await
    }

    /// Whether `password` made `hash`. Without a hash (nobody of that name) the same work is done
    /// for nothing, so that the time taken does not tell who exists.
    ///
    /// # Errors
    /// [`Error::Throttled`] when too many wait; [`Error::Hash`].
    pub(super) async fn verify(&self, password: &str, hash: Option<&str>) -> Result<bool, Error> {
        if password.len() > BYTES_MAX {
            return Ok(false);
        }
        let _place =
            self.places.try_acquire().map_err(|_| Error::Throttled { retry_after: RETRY_AFTER })?;
        let (password, hash) = (password.to_owned(), hash.map(str::to_owned));
        self.run(move || {
            let Some(hash) = hash else {
                let salt = salt()?;
                return argon2()?
                    .hash_password(password.as_bytes(), &salt)
                    .map(|_| false)
                    .map_err(failed);
            };
            let parsed = PasswordHash::new(&hash).map_err(failed)?;
            Ok(argon2()?.verify_password(password.as_bytes(), &parsed).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(failed)?;
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        })
        .await
        .map_err(failed)?
    }
}

fn check(password: &str) -> Result<(), Error> {
    if password.chars().count() < CHARACTERS_MIN {
        return Err(Error::Invalid(format!(
            "the password is too short: at least {CHARACTERS_MIN} characters"
        )));
    }
    if password.len() > BYTES_MAX {
        return Err(Error::Invalid(format!("the password is too long: at most {BYTES_MAX} bytes")));
    }
    Ok(())
}

fn argon2() -> Result<Argon2<'static>, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// 128 random bits, as the PHC string format recommends.
fn salt() -> Result<SaltString, Error> {
    let mut bytes = [0u8; 16];
    rand::rng().fill_bytes(&mut bytes);
    SaltString::encode_b64(&bytes).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Hash(error.to_string())
}

#[cfg(test)]
mod tests {
    use tokio::sync::SemaphorePermit;

    use super::*;

    impl Hasher {
        /// Takes every place in the queue.
        pub(crate) fn fill(&self) -> SemaphorePermit<'_> {
            let places = u32::try_from(PERMITS + WAITING_MAX).unwrap();
            self.places.try_acquire_many(places).unwrap()
        }
    }

    #[tokio::test]
    async fn only_so_many_checks_wait() {
        let hasher = Arc::new(Hasher::default());
        let running = hasher.permits.clone().acquire_many_owned(2).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..PERMITS + WAITING_MAX {
            let hasher = Arc::clone(&hasher);
            waiting.spawn(async move { hasher.verify("một mật khẩu dài", None).await });
        }
        while hasher.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let beyond = hasher.verify("một mật khẩu dài", None).await;
        assert!(matches!(beyond, Err(Error::Throttled { .. })));
        // Whoever goes away makes place.
        waiting.shutdown().await;
        drop(running);
        assert!(!hasher.verify("một mật khẩu dài", None).await.unwrap());
    }

    #[tokio::test]
    async fn a_hash_knows_its_password() {
        let hasher = Hasher::default();
        let hash = hasher.hash("một mật khẩu dài").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify("một mật khẩu dài", Some(&hash)).await.unwrap());
        assert!(!hasher.verify("một mật khẩu dai", Some(&hash)).await.unwrap());
        assert!(!hasher.verify("một mật khẩu dài", None).await.unwrap());
    }

    #[tokio::test]
    async fn short_and_huge_passwords_are_refused() {
        let hasher = Hasher::default();
        assert!(matches!(hasher.hash("hunter2").await, Err(Error::Invalid(_))));
        assert!(matches!(hasher.hash(&"x".repeat(BYTES_MAX + 1)).await, Err(Error::Invalid(_))));
        assert!(!hasher.verify(&"x".repeat(1 << 20), None).await.unwrap());
    }
}
