# Generated from _face.py by `make docs`; do not edit.
from luminai.contracts.ai import (
    AIError as AIError,
)
from luminai.contracts.ai import (
    AIErrorKind as AIErrorKind,
)
from luminai.contracts.ai import (
    AIProvider as AIProvider,
)
from luminai.contracts.ai import (
    ChatMessage as ChatMessage,
)
from luminai.contracts.ai import (
    ChatReply as ChatReply,
)
from luminai.contracts.ai import (
    ChatRequest as ChatRequest,
)
from luminai.contracts.ai import (
    EmbeddingReply as EmbeddingReply,
)
from luminai.contracts.ai import (
    End as End,
)
from luminai.contracts.ai import (
    EndState as EndState,
)
from luminai.contracts.ai import (
    MediaReply as MediaReply,
)
from luminai.contracts.ai import (
    Model as Model,
)
from luminai.contracts.ai import (
    Source as Source,
)
from luminai.contracts.ai import (
    SourceFound as SourceFound,
)
from luminai.contracts.ai import (
    StreamEvent as StreamEvent,
)
from luminai.contracts.ai import (
    TextDelta as TextDelta,
)
from luminai.contracts.ai import (
    Tool as Tool,
)
from luminai.contracts.ai import (
    ToolCall as ToolCall,
)
from luminai.contracts.ai import (
    ToolCallFound as ToolCallFound,
)
from luminai.contracts.ai import (
    Usage as Usage,
)
from luminai.contracts.context import (
    Clock as Clock,
)
from luminai.contracts.context import (
    Database as Database,
)
from luminai.contracts.context import (
    Decisions as Decisions,
)
from luminai.contracts.context import (
    Once as Once,
)
from luminai.contracts.context import (
    PluginContext as PluginContext,
)
from luminai.contracts.context import (
    Providers as Providers,
)
from luminai.contracts.errors import (
    ConfigRejected as ConfigRejected,
)
from luminai.contracts.errors import (
    Conflict as Conflict,
)
from luminai.contracts.errors import (
    DeadlineExceeded as DeadlineExceeded,
)
from luminai.contracts.errors import (
    Forbidden as Forbidden,
)
from luminai.contracts.errors import (
    HubError as HubError,
)
from luminai.contracts.errors import (
    InvalidInput as InvalidInput,
)
from luminai.contracts.errors import (
    NotFound as NotFound,
)
from luminai.contracts.errors import (
    NotReady as NotReady,
)
from luminai.contracts.errors import (
    NotSignedIn as NotSignedIn,
)
from luminai.contracts.errors import (
    Problem as Problem,
)
from luminai.contracts.errors import (
    ProblemItem as ProblemItem,
)
from luminai.contracts.errors import (
    RateLimited as RateLimited,
)
from luminai.contracts.errors import (
    TooLarge as TooLarge,
)
from luminai.contracts.errors import (
    Unavailable as Unavailable,
)
from luminai.contracts.errors import (
    Unprocessable as Unprocessable,
)
from luminai.contracts.errors import (
    Upstream as Upstream,
)
from luminai.contracts.hookspecs import (
    hookimpl as hookimpl,
)
from luminai.contracts.identity import (
    Actor as Actor,
)
from luminai.contracts.identity import (
    RoutePolicy as RoutePolicy,
)
from luminai.contracts.identity import (
    policy as policy,
)
from luminai.contracts.manifest import (
    PLUGIN_API as PLUGIN_API,
)
from luminai.contracts.manifest import (
    Manifest as Manifest,
)
from luminai.contracts.payment import (
    AuthorizeRequest as AuthorizeRequest,
)
from luminai.contracts.payment import (
    ClientAction as ClientAction,
)
from luminai.contracts.payment import (
    Evidence as Evidence,
)
from luminai.contracts.payment import (
    MethodSetup as MethodSetup,
)
from luminai.contracts.payment import (
    Money as Money,
)
from luminai.contracts.payment import (
    Party as Party,
)
from luminai.contracts.payment import (
    PaymentCapabilities as PaymentCapabilities,
)
from luminai.contracts.payment import (
    PaymentError as PaymentError,
)
from luminai.contracts.payment import (
    PaymentEvent as PaymentEvent,
)
from luminai.contracts.payment import (
    PaymentProvider as PaymentProvider,
)
from luminai.contracts.payment import (
    PaymentResult as PaymentResult,
)
from luminai.contracts.payment import (
    PaymentStatus as PaymentStatus,
)
from luminai.contracts.persona import (
    Persona as Persona,
)
from luminai.contracts.persona import (
    PersonaVoice as PersonaVoice,
)
from luminai.contracts.resonance import (
    PastMessage as PastMessage,
)
from luminai.contracts.resonance import (
    ResonanceCalculator as ResonanceCalculator,
)
from luminai.contracts.resonance import (
    ResonancePart as ResonancePart,
)
from luminai.contracts.resonance import (
    ResonanceReport as ResonanceReport,
)
from luminai.contracts.resonance import (
    TurnEvidence as TurnEvidence,
)
from luminai.contracts.runtime import (
    Action as Action,
)
from luminai.contracts.runtime import (
    Authenticator as Authenticator,
)
from luminai.contracts.runtime import (
    Decision as Decision,
)
from luminai.contracts.runtime import (
    DecisionRule as DecisionRule,
)
from luminai.contracts.runtime import (
    Denied as Denied,
)
from luminai.contracts.runtime import (
    EraseReport as EraseReport,
)
from luminai.contracts.runtime import (
    Event as Event,
)
from luminai.contracts.runtime import (
    EventType as EventType,
)
from luminai.contracts.runtime import (
    ExportItem as ExportItem,
)
from luminai.contracts.runtime import (
    Extension as Extension,
)
from luminai.contracts.runtime import (
    ExtensionPoint as ExtensionPoint,
)
from luminai.contracts.runtime import (
    Health as Health,
)
from luminai.contracts.runtime import (
    HealthCheck as HealthCheck,
)
from luminai.contracts.runtime import (
    HealthState as HealthState,
)
from luminai.contracts.runtime import (
    Metric as Metric,
)
from luminai.contracts.runtime import (
    PurgeItem as PurgeItem,
)
from luminai.contracts.runtime import (
    Schedule as Schedule,
)
from luminai.contracts.runtime import (
    SecretBackend as SecretBackend,
)
from luminai.contracts.runtime import (
    Service as Service,
)
from luminai.contracts.runtime import (
    Subscription as Subscription,
)
from luminai.contracts.runtime import (
    Webhook as Webhook,
)
from luminai.contracts.secret import (
    Secret as Secret,
)
from luminai.contracts.storage import (
    ObjectInfo as ObjectInfo,
)
from luminai.contracts.storage import (
    ObjectPage as ObjectPage,
)
from luminai.contracts.storage import (
    StorageBackend as StorageBackend,
)
from luminai.contracts.storage import (
    StorageCapabilities as StorageCapabilities,
)
from luminai.contracts.terminal import (
    ServerEvent as ServerEvent,
)
from luminai.contracts.terminal import (
    Terminal as Terminal,
)
from luminai.data.types import (
    JSONText as JSONText,
)
from luminai.data.types import (
    UTCDateTime as UTCDateTime,
)
from luminai.data.types import (
    metadata_for as metadata_for,
)
from luminai.http.pages import (
    Page as Page,
)
from luminai.http.pages import (
    page_cursor as page_cursor,
)
from luminai.http.pages import (
    page_limit as page_limit,
)
from luminai.http.requests import (
    actor_of as actor_of,
)
from luminai.http.requests import (
    client_address as client_address,
)
from luminai.http.requests import (
    log_field as log_field,
)
from luminai.http.requests import (
    request_id as request_id,
)
from luminai.http.requests import (
    signed_in as signed_in,
)

__version__: str
__all__ = [
    "PLUGIN_API",
    "AIError",
    "AIErrorKind",
    "AIProvider",
    "Action",
    "Actor",
    "Authenticator",
    "AuthorizeRequest",
    "ChatMessage",
    "ChatReply",
    "ChatRequest",
    "ClientAction",
    "Clock",
    "ConfigRejected",
    "Conflict",
    "Database",
    "DeadlineExceeded",
    "Decision",
    "DecisionRule",
    "Decisions",
    "Denied",
    "EmbeddingReply",
    "End",
    "EndState",
    "EraseReport",
    "Event",
    "EventType",
    "Evidence",
    "ExportItem",
    "Extension",
    "ExtensionPoint",
    "Forbidden",
    "Health",
    "HealthCheck",
    "HealthState",
    "HubError",
    "InvalidInput",
    "JSONText",
    "Manifest",
    "MediaReply",
    "MethodSetup",
    "Metric",
    "Model",
    "Money",
    "NotFound",
    "NotReady",
    "NotSignedIn",
    "ObjectInfo",
    "ObjectPage",
    "Once",
    "Page",
    "Party",
    "PastMessage",
    "PaymentCapabilities",
    "PaymentError",
    "PaymentEvent",
    "PaymentProvider",
    "PaymentResult",
    "PaymentStatus",
    "Persona",
    "PersonaVoice",
    "PluginContext",
    "Problem",
    "ProblemItem",
    "Providers",
    "PurgeItem",
    "RateLimited",
    "ResonanceCalculator",
    "ResonancePart",
    "ResonanceReport",
    "RoutePolicy",
    "Schedule",
    "Secret",
    "SecretBackend",
    "ServerEvent",
    "Service",
    "Source",
    "SourceFound",
    "StorageBackend",
    "StorageCapabilities",
    "StreamEvent",
    "Subscription",
    "Terminal",
    "TextDelta",
    "TooLarge",
    "Tool",
    "ToolCall",
    "ToolCallFound",
    "TurnEvidence",
    "UTCDateTime",
    "Unavailable",
    "Unprocessable",
    "Upstream",
    "Usage",
    "Webhook",
    "actor_of",
    "client_address",
    "hookimpl",
    "log_field",
    "metadata_for",
    "page_cursor",
    "page_limit",
    "policy",
    "request_id",
    "signed_in",
]
