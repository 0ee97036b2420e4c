//! A script of one key, sent by its hash and loaded where it is not known: a server that was started
//! again has forgotten it. The client library does the same, but ends the task with a panic, in builds
//! with assertions, when a garbled reply says another hash.

use redis::{Cmd, ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, ToRedisArgs};

use super::line::Line;

pub struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    pub fn new(code: &'static str) -> Script {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Script { code, hash }
    }

    pub fn key(&self, key: impl ToRedisArgs) -> Call<'_> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(1).arg(key);
        Call {
            script: self,
            command,
        }
    }

    /// # Errors
    /// When the server does not take it, or replies something else.
    pub async fn load(&self, line: &mut Line) -> RedisResult<()> {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.code);
        let hash: String = command.query_async(line).await?;
        match hash == self.hash {
            true => Ok(()),
            false => Err((ErrorKind::UnexpectedReturnType, "another script's hash").into()),
        }
    }
}

pub struct Call<'s> {
    script: &'s Script,
    command: Cmd,
}

impl Call<'_> {
    pub fn arg(&mut self, argument: impl ToRedisArgs) -> &mut Self {
        self.command.arg(argument);
        self
    }

    /// As one of several commands: who sends them loads the script.
    pub fn command(&self) -> &Cmd {
        &self.command
    }

    pub async fn invoke<T: FromRedisValue>(&self, line: &mut Line) -> RedisResult<T> {
        match self.command.query_async(line).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.script.load(line).await?;
                self.command.query_async(line).await
            }
            done => done,
        }
    }
}
