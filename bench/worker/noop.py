"""The smallest application that Celery can run: a task that does nothing, and the agent that `BENCH_AGENT` names, if any."""

import os

from celery import Celery

app = Celery("noop", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_RESULTS"])
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


@app.task(name="noop")
def noop():
    pass


def nothing(**_):
    pass


# Each as its own documentation has it for a worker without a framework.
match os.environ.get("BENCH_AGENT"):
    case "taskplane":
        import taskplane

        taskplane.install()
    case "receivers":
        from celery import signals

        for signal in (
            signals.task_received,
            signals.task_prerun,
            signals.task_postrun,
            signals.task_success,
        ):
            signal.connect(nothing, weak=False)
    case "z4j":
        from z4j_bare import install_agent
        from z4j_celery import CeleryEngineAdapter

        agent = install_agent(engines=[CeleryEngineAdapter(celery_app=app)])
