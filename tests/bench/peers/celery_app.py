"""The Celery application of the queue benchmark: a task that does nothing, by Redis."""

import os

import redis
from celery import Celery

URL = os.environ["BENCH_REDIS_URL"]

app = Celery("celery_app", broker=URL)
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 64
app.conf.task_acks_late = True  # a task survives its worker, as drover's do
app.conf.broker_connection_retry_on_startup = True


@app.task
def noop(item):
    """Nothing."""


@app.task
def mark(name):
    """Tells the benchmark that everything before it was run."""
    redis.Redis.from_url(URL).rpush(name, 1)
