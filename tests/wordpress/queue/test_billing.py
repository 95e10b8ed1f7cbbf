"""What the queue is for: everybody is charged once, whatever happens to the workers."""

from __future__ import annotations

import random

from tests.support import process
from tests.wordpress.queue.billing_site import TASKS

SUBSCRIPTIONS = 1000
A_STAGE = 100
OPEN = f"SELECT COUNT(*) FROM {TASKS} WHERE task_type = 'subscription_renewal' AND status IN ('pending', 'processing')"


def test_a_billing_run_with_workers_killed_at_random_charges_everybody_once(site, admin):
    site.subscribe(SUBSCRIPTIONS)
    site.let_through(A_STAGE)
    run = site.queue("billing_run")
    workers = [site.hire() for _ in range(3)]
    chosen = random.Random(20260301)
    shown = []
    for stage in range(A_STAGE, SUBSCRIPTIONS, A_STAGE):
        assert process.wait_until(lambda: site.number("SELECT COUNT(*) FROM gateway") >= stage, timeout=60, step=0.1), site.sql(
            f"SELECT status, state, COUNT(*) FROM {TASKS} GROUP BY status, state"
        )
        shown.append(admin.api("GET", f"/queue/tasks/{run}").json()["progress"]["done"])
        victim = chosen.randrange(len(workers))
        workers[victim].kill()
        workers[victim].wait()
        workers[victim] = site.hire()
        site.let_through(stage + A_STAGE)
    site.let_through(10 * SUBSCRIPTIONS)
    assert process.wait_until(lambda: site.number(OPEN) == 0, timeout=120, step=0.3)

    assert shown == sorted(set(shown)), "the run shows how far it is"
    assert site.number("SELECT MAX(asked) FROM gateway") == 1, "no charge was begun twice"
    held = site.sql(f"SELECT id FROM {TASKS} WHERE status = 'held'").split()
    assert "held" in site.task(run)["progress"]["message"] or not held

    # A person has looked each one up; the gateway knows the key of those that it has charged.
    for task in held:
        assert admin.api("POST", f"/queue/tasks/{task}/retry").status_code == 200
    assert process.wait_until(lambda: site.task(run)["status"] == "completed", timeout=60, step=0.3)
    assert site.number("SELECT COUNT(*) FROM gateway") == SUBSCRIPTIONS
    assert site.number("SELECT COUNT(DISTINCT subscription) FROM gateway") == SUBSCRIPTIONS
    assert site.number("SELECT COUNT(*) FROM gateway WHERE asked > 1") <= len(held)
    assert site.task(run)["progress"]["message"] == f"{SUBSCRIPTIONS} completed"

    again = site.queue("billing_run")
    assert process.wait_until(lambda: site.task(again)["status"] == "completed", timeout=30, step=0.3)
    assert site.number("SELECT COUNT(*) FROM gateway") == SUBSCRIPTIONS, "a second run finds everybody charged"


def test_the_supervisor_replaces_killed_workers_and_drains(site):
    supervisor = site.hire("--processes=2")
    first = site.queue("greet", {"name": "Ada"})
    assert process.wait_until(lambda: site.task(first)["status"] == "completed", timeout=20)
    victims = process.children(supervisor.pid)
    assert len(victims) == 2
    for pid in victims:
        process.os.kill(pid, process.signal.SIGKILL)
    second = site.queue("greet", {"name": "Grace"})
    assert process.wait_until(lambda: site.task(second)["status"] == "completed", timeout=20)

    supervisor.terminate()
    assert supervisor.wait(20) == 0
    assert site.number(f"SELECT COUNT(*) FROM {TASKS} WHERE status = 'processing'") == 0
