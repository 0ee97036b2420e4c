//! Arguments in, exit code out: one file for each verb.

pub mod audit;
pub mod break_glass;
pub mod check;
pub mod demo;
mod demo_elsewhere;
pub mod elsewhere;
pub mod explain;
mod manager;
pub mod master_key;
mod on_record;
mod operator;
pub mod people;
pub mod policy_diff;
pub mod policy_test;
pub mod rollout;
pub mod run;
pub mod schema;
pub mod sessions;
pub mod settings_page;
pub mod traffic;
mod world;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app::{StartError, memory};
use crate::config::{self, Problems, Settings};

/// The thing asked for is not so.
const NOT_SO: u8 = 1;
/// Bad configuration (sysexits calls it 78; the interface says 64).
const BAD_CONFIGURATION: u8 = 64;

#[derive(Debug, Parser)]
#[command(
    name = "vestibule",
    version,
    about = "One front door for web applications that can't be changed any more"
)]
struct Arguments {
    /// The configuration
    #[arg(
        long,
        global = true,
        default_value = "gateway.toml",
        value_name = "FILE"
    )]
    config: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serves until SIGTERM or SIGINT, reloads on SIGHUP and when files change, and hands its sockets
    /// to `run --upgrade` on SIGQUIT
    Run(run::RunArgs),
    /// Shows everything on this machine, with no other server
    Demo(demo::DemoArgs),
    /// Reads gateway.toml, certificates and every policy, and prints all that is wrong
    Check,
    /// Asks the policies
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// People, companies and accounts
    People(people::People),
    /// Tokens for companies' directories (SCIM 2.0)
    #[command(subcommand)]
    Scim(elsewhere::Scim),
    /// Who people are at their companies' providers
    #[command(subcommand)]
    Identities(elsewhere::Identities),
    /// Sign-ins that are going on
    Sessions(sessions::SessionsArgs),
    /// Features that are released company by company
    Rollout(rollout::RolloutArgs),
    /// The audit trail
    Audit(audit::AuditArgs),
    /// Emergencies, in which second factors are not asked for
    BreakGlass(break_glass::BreakGlassArgs),
    /// The key that seals what is secret: another one takes over while the gateways run
    MasterKey(master_key::MasterKeyArgs),
    /// Prints the JSON Schema of a file, by which editors complete and check it, or its settings for
    /// people
    Schema {
        /// Which file
        #[arg(value_enum)]
        of: schema::SchemaOf,
        /// `markdown` has every key with its default, bounds and meaning
        #[arg(long = "as", value_enum, default_value = "json")]
        form: schema::SchemaForm,
    },
}

#[derive(Debug, Subcommand)]
enum PolicyVerb {
    /// What would be decided, and every rule met or missed on the way
    Explain {
        #[command(flatten)]
        question: Box<explain::ExplainArgs>,
        /// Print the answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// Runs the tables of expected decisions beside the policies; exit 1 on a mismatch
    Test {
        /// A policy folder with `tests` in it, or a folder of tables; without: the one in use
        dir: Option<PathBuf>,
    },
    /// Whose decision changes between two policy folders, for all people and products known
    Diff {
        /// The policy folder as it is
        old: PathBuf,
        /// The policy folder as it is to be
        new: PathBuf,
        /// Ask both the requests of this access log, and count those that would have gone differently
        #[arg(long, value_name = "ACCESS.JSONL")]
        traffic: Option<PathBuf>,
        /// Print the changes as JSON
        #[arg(long)]
        json: bool,
    },
}

/// What went wrong, with the exit code that says whose fault it is.
pub struct Failure {
    code: u8,
    message: String,
}

/// An argument that is one line of text, so many characters at most.
fn one_line(text: &str, longest: usize) -> Result<String, String> {
    let text = text.trim();
    match (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control) {
        true => Ok(text.to_owned()),
        false => Err(format!("1 to {longest} characters of one line are wanted")),
    }
}

/// Why something is done, for the audit trail: as long as in the portal.
fn reason(text: &str) -> Result<String, String> {
    one_line(text, LONGEST_REASON)
}

/// In characters.
const LONGEST_REASON: usize = 200;

impl Failure {
    fn not_so(message: impl ToString) -> Failure {
        Failure {
            code: NOT_SO,
            message: message.to_string(),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Failure {
        Failure {
            code: BAD_CONFIGURATION,
            message: problems.to_string(),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        match error {
            StartError::Configuration(problems) => problems.into(),
            other => Failure::not_so(other),
        }
    }
}

/// Parses the arguments of this process and does what they say.
pub fn main() -> ExitCode {
    memory::use_small_pages();
    // Pingora would install another provider otherwise; the first one stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let arguments = Arguments::parse();
    match act(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

fn act(arguments: &Arguments) -> Result<u8, Failure> {
    let file = arguments.config.as_path();
    match &arguments.verb {
        Verb::Run(arguments) => run::run(file, *arguments),
        Verb::Demo(demo) => demo::demo(demo),
        Verb::Check => check::check(
            file,
            config::variables(),
            &[],
            world::now(),
            &mut std::io::stdout(),
        )
        .map_err(Failure::not_so),
        Verb::Policy(PolicyVerb::Explain { question, json }) => {
            let settings = settings(file)?;
            in_runtime(world::explain(&settings, question, *json))
        }
        Verb::Policy(PolicyVerb::Test { dir }) => {
            let settings = settings(file)?;
            world::test_policies(&settings, dir.as_deref())
        }
        Verb::Policy(PolicyVerb::Diff {
            old,
            new,
            traffic,
            json,
        }) => {
            let settings = settings(file)?;
            let log = traffic.as_deref();
            in_runtime(world::diff_policies(&settings, (old, new), log, *json))
        }
        Verb::Rollout(rollout) => {
            let settings = settings(file)?;
            in_runtime(world::rollout(&settings, rollout))
        }
        Verb::Schema { of, form } => world::print(&of.print(*form)),
        Verb::People(people) => {
            let settings = settings(file)?;
            in_runtime(world::people(&settings, people))
        }
        Verb::BreakGlass(arguments) => {
            let settings = settings(file)?;
            in_runtime(world::break_glass(&settings, arguments))
        }
        Verb::MasterKey(arguments) => {
            let settings = settings(file)?;
            in_runtime(master_key::master_key(&settings, arguments.verb))
        }
        Verb::Scim(verb) => {
            let settings = settings(file)?;
            in_runtime(elsewhere::scim(&settings, verb))
        }
        Verb::Identities(verb) => {
            let settings = settings(file)?;
            in_runtime(elsewhere::identities(&settings, verb))
        }
        Verb::Sessions(sessions) => {
            let settings = settings(file)?;
            in_runtime(world::sessions(&settings, sessions))
        }
        Verb::Audit(audit) => {
            let settings = settings(file)?;
            let anchors = match audit.asks_directory() {
                true => in_runtime(world::anchors(&settings))?,
                false => Vec::new(),
            };
            audit::run(
                audit,
                &settings.audit_trail(),
                &anchors,
                &mut std::io::stdout(),
                &mut std::io::stderr(),
            )
            .map_err(Failure::not_so)
        }
    }
}

fn settings(file: &Path) -> Result<Settings, Failure> {
    Ok(config::load(file, config::variables(), &[])?)
}

/// Runs one command of the command line to its end.
fn in_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::not_so)?
        .block_on(work)
}
