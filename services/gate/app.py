"""The gate service's composition root."""

from contracts.catalogue import registry
from libs.runtime.service import Consumer, Service
from services.gate import handlers
from services.gate.domain.review import review

service = Service(
    name="gate", registry=registry, owns=(review,), consumes=(Consumer(handlers.judge_subject),)
)
