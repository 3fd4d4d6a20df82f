"""The smallest application that Celery can run: a task that does nothing, and the agent that `BENCH_AGENT` names, if any."""

import os

from celery import Celery, signals

app = Celery("noop", broker=os.environ["BENCH_BROKER"], backend=os.environ["BENCH_RESULTS"])
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


@app.task(name="noop")
def noop():
    pass


def nothing(**_):
    pass


connected = {}


@app.task(name="switch")
def switch(is_on):
    """Connects all receivers of Celery's signals, or none: what there is in the process hears of tasks, or does not."""
    for name, signal in vars(signals).items():
        if receivers := getattr(signal, "receivers", None):
            connected[name] = [*receivers]
        if name in connected:
            signal.receivers[:] = connected[name] if is_on else []


# Each as its own documentation has it for a worker without a framework.
match os.environ.get("BENCH_AGENT"):
    case "taskplane":
        import taskplane

        taskplane.install()
    case "receivers":
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
