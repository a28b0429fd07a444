"""Streams: rows delivered by a broker."""

from feature_platform.streams.base import Message as Message
from feature_platform.streams.base import Stream as Stream
from feature_platform.streams.base import StreamState as StreamState
from feature_platform.streams.settings import AnyBrokerSettings as AnyBrokerSettings
from feature_platform.streams.settings import BrokerSettings as BrokerSettings
