"""Retrieval: historical, online and on-demand features."""

from feature_platform.retrieval.datasets import RandomSplit as RandomSplit
from feature_platform.retrieval.datasets import SavedDataset as SavedDataset
from feature_platform.retrieval.datasets import SavedDatasetFileStorage as SavedDatasetFileStorage
from feature_platform.retrieval.datasets import Split as Split
from feature_platform.retrieval.datasets import TimeSplit as TimeSplit
from feature_platform.retrieval.frames import to_arrow as to_arrow
from feature_platform.retrieval.historical import entity_rows as entity_rows
from feature_platform.retrieval.historical import historical as historical
from feature_platform.retrieval.job import RetrievalJob as RetrievalJob
from feature_platform.retrieval.online import OnlineReader as OnlineReader
from feature_platform.retrieval.response import FieldStatus as FieldStatus
from feature_platform.retrieval.response import OnlineResponse as OnlineResponse
from feature_platform.retrieval.stored import StoredWriter as StoredWriter
from feature_platform.retrieval.transform import Function as Function
from feature_platform.retrieval.transform import Functions as Functions
from feature_platform.retrieval.transform import Steps as Steps
