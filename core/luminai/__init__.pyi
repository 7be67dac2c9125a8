# Generated from _face.py by `make docs`; do not edit.
from luminai.contracts.ai import AIError as AIError
from luminai.contracts.ai import AIErrorKind as AIErrorKind
from luminai.contracts.ai import AIProvider as AIProvider
from luminai.contracts.ai import ChatMessage as ChatMessage
from luminai.contracts.ai import ChatReply as ChatReply
from luminai.contracts.ai import ChatRequest as ChatRequest
from luminai.contracts.ai import EmbeddingReply as EmbeddingReply
from luminai.contracts.ai import End as End
from luminai.contracts.ai import EndState as EndState
from luminai.contracts.ai import Leg as Leg
from luminai.contracts.ai import MediaReply as MediaReply
from luminai.contracts.ai import Model as Model
from luminai.contracts.ai import Seam as Seam
from luminai.contracts.ai import Source as Source
from luminai.contracts.ai import SourceFound as SourceFound
from luminai.contracts.ai import StreamEvent as StreamEvent
from luminai.contracts.ai import TextDelta as TextDelta
from luminai.contracts.ai import Tool as Tool
from luminai.contracts.ai import ToolCall as ToolCall
from luminai.contracts.ai import ToolCallFound as ToolCallFound
from luminai.contracts.ai import Trace as Trace
from luminai.contracts.ai import Usage as Usage
from luminai.contracts.ai import Voice as Voice
from luminai.contracts.ai import Voices as Voices
from luminai.contracts.audit import AuditEntry as AuditEntry
from luminai.contracts.cache import Cache as Cache
from luminai.contracts.cache import CacheClass as CacheClass
from luminai.contracts.cache import CacheStore as CacheStore
from luminai.contracts.cache import Kept as Kept
from luminai.contracts.context import Clock as Clock
from luminai.contracts.context import Database as Database
from luminai.contracts.context import Decisions as Decisions
from luminai.contracts.context import Once as Once
from luminai.contracts.context import OwnedDatabase as OwnedDatabase
from luminai.contracts.context import PluginContext as PluginContext
from luminai.contracts.context import Providers as Providers
from luminai.contracts.engines import DueJob as DueJob
from luminai.contracts.engines import JobEngine as JobEngine
from luminai.contracts.engines import JobWork as JobWork
from luminai.contracts.errors import ConfigRejected as ConfigRejected
from luminai.contracts.errors import Conflict as Conflict
from luminai.contracts.errors import DeadlineExceeded as DeadlineExceeded
from luminai.contracts.errors import Forbidden as Forbidden
from luminai.contracts.errors import HubError as HubError
from luminai.contracts.errors import InvalidInput as InvalidInput
from luminai.contracts.errors import NotFound as NotFound
from luminai.contracts.errors import NotReady as NotReady
from luminai.contracts.errors import NotSignedIn as NotSignedIn
from luminai.contracts.errors import PaymentRequired as PaymentRequired
from luminai.contracts.errors import Problem as Problem
from luminai.contracts.errors import ProblemItem as ProblemItem
from luminai.contracts.errors import RateLimited as RateLimited
from luminai.contracts.errors import TooLarge as TooLarge
from luminai.contracts.errors import Unavailable as Unavailable
from luminai.contracts.errors import Unprocessable as Unprocessable
from luminai.contracts.errors import Upstream as Upstream
from luminai.contracts.hookspecs import hookimpl as hookimpl
from luminai.contracts.identity import Actor as Actor
from luminai.contracts.identity import RoutePolicy as RoutePolicy
from luminai.contracts.identity import policy as policy
from luminai.contracts.jobs import Action as Action
from luminai.contracts.jobs import Actions as Actions
from luminai.contracts.jobs import Job as Job
from luminai.contracts.jobs import Schedule as Schedule
from luminai.contracts.live import Channel as Channel
from luminai.contracts.live import Live as Live
from luminai.contracts.live import LiveMessage as LiveMessage
from luminai.contracts.mail import MAIL_POINT as MAIL_POINT
from luminai.contracts.mail import Mail as Mail
from luminai.contracts.mail import MailTransport as MailTransport
from luminai.contracts.manifest import Manifest as Manifest
from luminai.contracts.manifest import PLUGIN_API as PLUGIN_API
from luminai.contracts.metering import Held as Held
from luminai.contracts.metering import Meter as Meter
from luminai.contracts.metering import Metering as Metering
from luminai.contracts.metering import Quote as Quote
from luminai.contracts.metering import Work as Work
from luminai.contracts.metering import WorkFailure as WorkFailure
from luminai.contracts.metrics import AlertRule as AlertRule
from luminai.contracts.metrics import Metrics as Metrics
from luminai.contracts.outbound import HttpClient as HttpClient
from luminai.contracts.outbound import HttpReply as HttpReply
from luminai.contracts.outbound import HttpStream as HttpStream
from luminai.contracts.payment import AuthorizeRequest as AuthorizeRequest
from luminai.contracts.payment import ClientAction as ClientAction
from luminai.contracts.payment import Evidence as Evidence
from luminai.contracts.payment import MethodSetup as MethodSetup
from luminai.contracts.payment import Money as Money
from luminai.contracts.payment import Party as Party
from luminai.contracts.payment import PaymentCapabilities as PaymentCapabilities
from luminai.contracts.payment import PaymentError as PaymentError
from luminai.contracts.payment import PaymentEvent as PaymentEvent
from luminai.contracts.payment import PaymentProvider as PaymentProvider
from luminai.contracts.payment import PaymentResult as PaymentResult
from luminai.contracts.payment import PaymentStatus as PaymentStatus
from luminai.contracts.persona import Persona as Persona
from luminai.contracts.persona import PersonaVoice as PersonaVoice
from luminai.contracts.resonance import PastMessage as PastMessage
from luminai.contracts.resonance import ResonanceCalculator as ResonanceCalculator
from luminai.contracts.resonance import ResonancePart as ResonancePart
from luminai.contracts.resonance import ResonanceReport as ResonanceReport
from luminai.contracts.resonance import TurnEvidence as TurnEvidence
from luminai.contracts.runtime import Authenticator as Authenticator
from luminai.contracts.runtime import Decision as Decision
from luminai.contracts.runtime import DecisionRule as DecisionRule
from luminai.contracts.runtime import Delivery as Delivery
from luminai.contracts.runtime import Denied as Denied
from luminai.contracts.runtime import EraseReport as EraseReport
from luminai.contracts.runtime import Event as Event
from luminai.contracts.runtime import EventType as EventType
from luminai.contracts.runtime import ExportItem as ExportItem
from luminai.contracts.runtime import Extension as Extension
from luminai.contracts.runtime import ExtensionPoint as ExtensionPoint
from luminai.contracts.runtime import Health as Health
from luminai.contracts.runtime import HealthCheck as HealthCheck
from luminai.contracts.runtime import HealthState as HealthState
from luminai.contracts.runtime import Metric as Metric
from luminai.contracts.runtime import PurgeItem as PurgeItem
from luminai.contracts.runtime import SecretBackend as SecretBackend
from luminai.contracts.runtime import Service as Service
from luminai.contracts.runtime import Subscription as Subscription
from luminai.contracts.runtime import Verified as Verified
from luminai.contracts.runtime import Webhook as Webhook
from luminai.contracts.secret import Secret as Secret
from luminai.contracts.sms import SMS_POINT as SMS_POINT
from luminai.contracts.sms import ShortMessage as ShortMessage
from luminai.contracts.sms import ShortMessageTransport as ShortMessageTransport
from luminai.contracts.spans import SPAN_POINT as SPAN_POINT
from luminai.contracts.spans import Span as Span
from luminai.contracts.spans import SpanSink as SpanSink
from luminai.contracts.storage import ObjectInfo as ObjectInfo
from luminai.contracts.storage import ObjectPage as ObjectPage
from luminai.contracts.storage import StorageBackend as StorageBackend
from luminai.contracts.storage import StorageCapabilities as StorageCapabilities
from luminai.contracts.streams import Aggregate as Aggregate
from luminai.contracts.streams import Events as Events
from luminai.contracts.streams import Folded as Folded
from luminai.contracts.terminal import ServerEvent as ServerEvent
from luminai.contracts.terminal import Terminal as Terminal
from luminai.contracts.vault import Vault as Vault
from luminai.contracts.verification import IDENTITY_CHECK_POINT as IDENTITY_CHECK_POINT
from luminai.contracts.verification import IdentityCheck as IdentityCheck
from luminai.contracts.verification import IdentityClaim as IdentityClaim
from luminai.contracts.verification import IdentityFinding as IdentityFinding
from luminai.data.prepared import Prepared as Prepared
from luminai.data.prepared import driver_rows as driver_rows
from luminai.data.row_security import disable_owner_policy as disable_owner_policy
from luminai.data.row_security import enable_owner_policy as enable_owner_policy
from luminai.data.types import JSONText as JSONText
from luminai.data.types import UTCDateTime as UTCDateTime
from luminai.data.types import metadata_for as metadata_for
from luminai.host.deadlines import Deadlines as Deadlines
from luminai.http.ai.bodies import picture_type as picture_type
from luminai.http.ai.continuation import Continuation as Continuation
from luminai.http.ai.errors import provider_error as provider_error
from luminai.http.ai.errors import refused as refused
from luminai.http.ai.plugin import HttpAIPlugin as HttpAIPlugin
from luminai.http.ai.provider import HttpAIProvider as HttpAIProvider
from luminai.http.ai.provider import HttpCall as HttpCall
from luminai.http.ai.reader import ChatReader as ChatReader
from luminai.http.ai.settings import InstanceName as InstanceName
from luminai.http.ai.settings import NamedModel as NamedModel
from luminai.http.ai.settings import ProviderInstance as ProviderInstance
from luminai.http.ai.settings import ServiceUrl as ServiceUrl
from luminai.http.described import Streaming as Streaming
from luminai.http.pages import Page as Page
from luminai.http.pages import page_cursor as page_cursor
from luminai.http.pages import page_limit as page_limit
from luminai.http.problems import PROBLEM_TYPE as PROBLEM_TYPE
from luminai.http.problems import failure_of as failure_of
from luminai.http.pushed import PushedStream as PushedStream
from luminai.http.pushed import ReaderLeft as ReaderLeft
from luminai.http.requests import actor_of as actor_of
from luminai.http.requests import client_address as client_address
from luminai.http.requests import log_field as log_field
from luminai.http.requests import request_id as request_id
from luminai.http.requests import signed_in as signed_in
from luminai.http.signatures import SigningSecret as SigningSecret
from luminai.http.signatures import check_any_signature as check_any_signature
from luminai.http.signatures import check_signature as check_signature
from luminai.http.signatures import check_timed_signature as check_timed_signature
from luminai.http.signatures import signing_secrets as signing_secrets

__version__: str
__all__ = [
    "AIError",
    "AIErrorKind",
    "AIProvider",
    "Action",
    "Actions",
    "Actor",
    "Aggregate",
    "AlertRule",
    "AuditEntry",
    "Authenticator",
    "AuthorizeRequest",
    "Cache",
    "CacheClass",
    "CacheStore",
    "Channel",
    "ChatMessage",
    "ChatReader",
    "ChatReply",
    "ChatRequest",
    "ClientAction",
    "Clock",
    "ConfigRejected",
    "Conflict",
    "Continuation",
    "Database",
    "DeadlineExceeded",
    "Deadlines",
    "Decision",
    "DecisionRule",
    "Decisions",
    "Delivery",
    "Denied",
    "DueJob",
    "EmbeddingReply",
    "End",
    "EndState",
    "EraseReport",
    "Event",
    "EventType",
    "Events",
    "Evidence",
    "ExportItem",
    "Extension",
    "ExtensionPoint",
    "Folded",
    "Forbidden",
    "Health",
    "HealthCheck",
    "HealthState",
    "Held",
    "HttpAIPlugin",
    "HttpAIProvider",
    "HttpCall",
    "HttpClient",
    "HttpReply",
    "HttpStream",
    "HubError",
    "IDENTITY_CHECK_POINT",
    "IdentityCheck",
    "IdentityClaim",
    "IdentityFinding",
    "InstanceName",
    "InvalidInput",
    "JSONText",
    "Job",
    "JobEngine",
    "JobWork",
    "Kept",
    "Leg",
    "Live",
    "LiveMessage",
    "MAIL_POINT",
    "Mail",
    "MailTransport",
    "Manifest",
    "MediaReply",
    "Meter",
    "Metering",
    "MethodSetup",
    "Metric",
    "Metrics",
    "Model",
    "Money",
    "NamedModel",
    "NotFound",
    "NotReady",
    "NotSignedIn",
    "ObjectInfo",
    "ObjectPage",
    "Once",
    "OwnedDatabase",
    "PLUGIN_API",
    "PROBLEM_TYPE",
    "Page",
    "Party",
    "PastMessage",
    "PaymentCapabilities",
    "PaymentError",
    "PaymentEvent",
    "PaymentProvider",
    "PaymentRequired",
    "PaymentResult",
    "PaymentStatus",
    "Persona",
    "PersonaVoice",
    "PluginContext",
    "Prepared",
    "Problem",
    "ProblemItem",
    "ProviderInstance",
    "Providers",
    "PurgeItem",
    "PushedStream",
    "Quote",
    "RateLimited",
    "ReaderLeft",
    "ResonanceCalculator",
    "ResonancePart",
    "ResonanceReport",
    "RoutePolicy",
    "SMS_POINT",
    "SPAN_POINT",
    "Schedule",
    "Seam",
    "Secret",
    "SecretBackend",
    "ServerEvent",
    "Service",
    "ServiceUrl",
    "ShortMessage",
    "ShortMessageTransport",
    "SigningSecret",
    "Source",
    "SourceFound",
    "Span",
    "SpanSink",
    "StorageBackend",
    "StorageCapabilities",
    "StreamEvent",
    "Streaming",
    "Subscription",
    "Terminal",
    "TextDelta",
    "TooLarge",
    "Tool",
    "ToolCall",
    "ToolCallFound",
    "Trace",
    "TurnEvidence",
    "UTCDateTime",
    "Unavailable",
    "Unprocessable",
    "Upstream",
    "Usage",
    "Vault",
    "Verified",
    "Voice",
    "Voices",
    "Webhook",
    "Work",
    "WorkFailure",
    "actor_of",
    "check_any_signature",
    "check_signature",
    "check_timed_signature",
    "client_address",
    "disable_owner_policy",
    "driver_rows",
    "enable_owner_policy",
    "failure_of",
    "hookimpl",
    "log_field",
    "metadata_for",
    "page_cursor",
    "page_limit",
    "picture_type",
    "policy",
    "provider_error",
    "refused",
    "request_id",
    "signed_in",
    "signing_secrets",
]
