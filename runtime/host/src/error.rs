//! Whose fault it is: the guest's, or ours. A guest's *verdict* (a rejection, a failure) is a value, not an error.

use thiserror::Error;

/// A component broke the contract in one invocation. It costs that invocation, never the process.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GuestFault {
    /// The guest trapped: unreachable code, an access outside its memory, a panic, an exit.
    #[error("{export} trapped: {detail}")]
    Trap {
        /// The export that was called.
        export: &'static str,
        /// What the engine says, one line.
        detail: String,
    },
    /// The guest used up its processor time.
    #[error("{export} used more than its {budget_ms} ms of processor time")]
    Deadline {
        /// The export that was called.
        export: &'static str,
        /// What was allowed.
        budget_ms: u64,
    },
    /// The guest wanted more memory than it may have, and trapped.
    #[error("{export} asked for {wanted_bytes} bytes of memory; the limit is {limit_bytes}")]
    Memory {
        /// The export that was called.
        export: &'static str,
        /// The size that was refused.
        wanted_bytes: usize,
        /// What is allowed, over all memories together.
        limit_bytes: usize,
    },
    /// The guest exhausted its stack.
    #[error("{export} exhausted its stack")]
    Stack {
        /// The export that was called.
        export: &'static str,
    },
    /// What came back is not what the contract says.
    #[error("{export} returned something malformed: {what}")]
    MalformedOutput {
        /// The export that was called.
        export: &'static str,
        /// Which rule is broken, without the value.
        what: String,
    },
    /// What came back is more than the limits allow.
    #[error("{export} returned too much: {what}")]
    TooMuchOutput {
        /// The export that was called.
        export: &'static str,
        /// Which limit.
        what: String,
    },
    /// A sealed reference stood where a secret may not go.
    #[error(
        "{export} put a sealed reference into {place}; it may only stand in a request's authorization or in a proof"
    )]
    MisplacedSecret {
        /// The export that was called.
        export: &'static str,
        /// Where it was found.
        place: &'static str,
    },
    /// The operation did not come to an end.
    #[error("{export} asked for more than {rounds_max} effects")]
    TooManyRounds {
        /// The export that was called.
        export: &'static str,
        /// What is allowed.
        rounds_max: usize,
    },
}

impl GuestFault {
    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Deadline { .. } => "deadline",
            Self::Memory { .. } => "memory",
            Self::Stack { .. } => "stack",
            Self::MalformedOutput { .. } => "malformed-output",
            Self::TooMuchOutput { .. } => "too-much-output",
            Self::MisplacedSecret { .. } => "misplaced-secret",
            Self::TooManyRounds { .. } => "too-many-rounds",
        }
    }
}

/// Ours: the guest had no chance to do anything wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostFault {
    /// All instance slots are taken.
    #[error("no free instance: {0}")]
    AtCapacity(String),
    /// The engine failed in a way that is not the guest's doing.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// An ability was used that the component does not export.
    #[error("the provider has no `{0}` ability")]
    MissingAbility(&'static str),
}

/// Why an invocation has no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvokeError {
    /// The guest's fault.
    #[error(transparent)]
    Guest(#[from] GuestFault),
    /// Ours.
    #[error(transparent)]
    Host(#[from] HostFault),
    /// The tenant has used up what its guests may use together.
    #[error(transparent)]
    Budget(#[from] crate::meter::OverBudget),
    /// The configuration did not pass the provider's own `config-loader`.
    #[error("the configuration is refused by the provider: {}", .0.iter().map(|p| format!("{}: {}", p.field, p.problem)).collect::<Vec<_>>().join("; "))]
    Configuration(Vec<crate::credentials::FieldProblem>),
}

/// Why a file is not a provider. Each says what to do about it.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Larger than any honest component.
    #[error("the file has {bytes} bytes; a component may have at most {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        max: usize,
    },
    /// Not WebAssembly.
    #[error("this is not a WebAssembly file: it does not start with the four bytes `\\0asm`")]
    NotWasm,
    /// A core module.
    #[error(
        "this is a core WebAssembly module, not a component; build it for the wasm32-wasip2 target, or turn it into one with `wasm-tools component new`"
    )]
    CoreModule,
    /// Truncated or otherwise invalid.
    #[error("this component is damaged or uses a feature that is switched off here: {0}")]
    Invalid(String),
    /// It wants something from the outside.
    #[error(
        "the component imports `{import}`, which is not on the list of inert imports; a provider has no access to anything outside itself. Remove what needs it, and build again"
    )]
    ForbiddenImport {
        /// As the component spells it.
        import: String,
    },
    /// It lacks one of the four required interfaces.
    #[error(
        "the component does not export `{interface}`; a provider exports descriptor, webhook, answer and media of strowger:provider@0.1.0"
    )]
    MissingExport {
        /// The interface.
        interface: String,
    },
    /// It was built for another version of the contract.
    #[error(
        "the component was built for version {found} of the contract, strowger:provider; this host speaks version {spoken}. Build it again with the SDK of version {spoken}, or run a host that speaks {found}"
    )]
    OtherContract {
        /// The version that the component exports.
        found: String,
        /// The version of this host.
        spoken: &'static str,
    },
    /// An export has the right name and the wrong types.
    #[error(
        "the component's `{interface}` does not have the types of the contract: {detail}; build it again with the contract of this version"
    )]
    Incompatible {
        /// The interface.
        interface: String,
        /// What does not fit.
        detail: String,
    },
    /// It has more of something than any honest component.
    #[error("the component has {demand} {what}; at most {max} are allowed. Mend it: {mend}")]
    Structure {
        /// What was counted.
        what: &'static str,
        /// How much of it there is, as far as it was read.
        demand: u64,
        /// What is allowed.
        max: u64,
        /// What its author can do.
        mend: &'static str,
    },
    /// It was not compiled within the limits of compilation, or could not be here.
    #[error(transparent)]
    Compiler(#[from] crate::compile::CompilerError),
    /// Its spec is not acceptable.
    #[error("the provider's spec is not acceptable: {0}")]
    Spec(#[from] crate::spec::SpecError),
    /// It failed while it was asked for its spec or its rejections.
    #[error("the component failed while it was loaded: {0}")]
    Failed(#[from] InvokeError),
    /// A rejection is not a response that could be sent.
    #[error("rejection-markup for `{reason}` is not acceptable: {what}")]
    Rejection {
        /// The reason it was asked for.
        reason: String,
        /// What is wrong.
        what: String,
    },
}
