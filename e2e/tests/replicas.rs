//! Several brains on one PostgreSQL database, behind a balancer that sends every new connection to another one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use taskplane_e2e::{
    Api, CeleryApp, Dice, Epoch, FedAgent, Firewall, PATIENCE, Replica, Replicas, ScriptedAgent, account, check_agents,
    eventually, eventually_within, say,
};
use taskplane_testkit::FaultProxy;

/// Brains on the database.
const BRAINS: usize = 3;
/// How often one of them is killed.
const KILLS: usize = 12;
/// What is promised of a lease that its holder does not renew any more, and of whatever else is noticed by looking: ten seconds,
/// and as much again and more for a machine that is busy with other tests.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn brains_are_killed_at_random_behind_a_balancer_and_every_event_is_there_once_on_each() -> Result<()> {
    let dice = Dice::new()?;
    let origin = dice.origin();
    kill_at_random(dice).await.context(origin)
}

async fn kill_at_random(mut dice: Dice) -> Result<()> {
    let mut replicas = Replicas::start(BRAINS).await?;
    let firewall = Firewall::before(replicas.balancer.port()).await?;
    let mut agents = Vec::new();
    // Two speak over WebSockets, two by long-poll.
    let ways = [replicas.balancer.port(), replicas.balancer.port(), firewall.port(), firewall.port()];
    for (database, port) in (0..).zip(ways) {
        agents.push(replicas.fed_agent(database, port, &dice).await?);
    }
    for _ in 0..KILLS {
        load(&mut agents, &mut dice).await?;
        // Sometimes one that has not come back yet, and then another one is killed beside it.
        let victim = dice.below(BRAINS as u64) as usize;
        match replicas.brains[victim].process {
            Some(_) => replicas.kill(victim).await?,
            None => replicas.spawn(victim)?,
        }
        load(&mut agents, &mut dice).await?;
        let others = (0..BRAINS).filter(|number| *number != victim);
        let dead: Vec<usize> = others.filter(|number| replicas.brains[*number].process.is_none()).collect();
        for number in dead {
            replicas.spawn(number)?;
        }
    }
    for number in 0..BRAINS {
        if replicas.brains[number].process.is_none() {
            replicas.spawn(number)?;
        }
    }
    replicas.are_ready().await?;
    for agent in &mut agents {
        agent.feed.finish().await?;
    }
    replicas.have_last_tasks(&agents).await?;
    let carried: Vec<u64> = replicas.brains.iter().map(|brain| replicas.balancer.carried(brain.port)).collect();
    ensure!(carried.iter().all(|connections| *connections > 0), "every brain had connections: {carried:?}");
    let epochs: Vec<Epoch> = agents.iter().flat_map(|agent| agent.feed.epochs()).collect();
    for brain in &replicas.brains {
        let account = account(&brain.api, &epochs, &mut dice).await;
        let account = account.with_context(|| format!("at {}\n{}", brain.name, replicas.logs()))?;
        ensure!(account.events > 5_000 && account.unheard == 0, "every event that an agent had: {account:?}");
        say(&format!("{}: {account:?}, connections {carried:?}, {}", brain.name, dice.origin()));
    }
    Ok(())
}

/// Some events at every agent.
async fn load(agents: &mut [FedAgent], dice: &mut Dice) -> Result<()> {
    for _ in 0..1 + dice.below(6) {
        for agent in &mut *agents {
            agent.feed.publish(50).await?;
        }
        tokio::time::sleep(dice.millis(5, 60)).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_command_given_at_any_brain_reaches_the_agent_wherever_it_is() -> Result<()> {
    let replicas = Replicas::start(BRAINS).await?;
    let mut took = Vec::new();
    for place in 0..BRAINS {
        let name = format!("agent-{place}");
        let port = replicas.brains[place].port;
        let mut agent = ScriptedAgent::connect(port, &replicas.token, &name).await?;
        for brain in &replicas.brains {
            is_online(&brain.api, &name).await.with_context(|| replicas.logs())?;
            for _ in 0..5 {
                let given = eventually("a command that is taken", async || {
                    let began = Instant::now();
                    let args = json!({"engine": "celery", "task_id": "t1"});
                    let (status, command) =
                        brain.api.post("commands", &json!({"cmd": "retry_task", "args": args, "agent": name})).await?;
                    ensure!(status == 202, "{status}: {command}");
                    let id = command["id"].as_str().context("an id")?.to_owned();
                    tokio::select! {
                        frame = agent.frame() => Ok(Some((id, frame?, began.elapsed()))),
                        withdrawn = withdrawn(&brain.api, &id) => withdrawn.map(|()| None),
                    }
                });
                let (id, frame, after) = given.await.with_context(|| replicas.logs())?;
                took.push(after);
                assert_eq!(frame["cmd_id"], json!(id), "{frame}");
                agent.done(&frame, json!({"new_task_id": "t2"})).await?;
                let ended = brain.api.get(&format!("commands/{id}?wait=25")).await?;
                assert_eq!(ended["status"], "succeeded", "{ended}\n{}", replicas.logs());
                assert_eq!(ended["agent"], json!(name), "{ended}");
            }
        }
    }
    took.sort_unstable();
    say(&format!(
        "from giving a command at one of {BRAINS} brains to its frame at the agent: median {:?}, most {:?}, {} commands",
        took[took.len() / 2],
        took[took.len() - 1],
        took.len()
    ));
    Ok(())
}

/// Waits until a command has ended without being sent: a brain that is slow to take it is not waited for, and it can be given again.
async fn withdrawn(api: &Api, id: &str) -> Result<()> {
    loop {
        let command = api.get(&format!("commands/{id}?wait=10")).await?;
        if is_withdrawn(&command) {
            return Ok(());
        }
    }
}

fn is_withdrawn(command: &Value) -> bool {
    command["status"] == "failed" && command["error"] == "agent_not_connected"
}

#[tokio::test]
async fn tasks_of_a_real_celery_are_retried_from_any_brain_while_brains_die() -> Result<()> {
    let mut replicas = Replicas::start(BRAINS).await?;
    let celery = CeleryApp::new(&replicas.broker(5))?;
    let mut producer = celery.producer().await?;
    let _agent = replicas.agent(5, replicas.balancer.port())?;
    let _worker = celery.worker("w1", "default", replicas.folder())?;
    for place in 0..BRAINS {
        let api = replicas.brains[place].api.clone();
        is_online(&api, "agent-5").await.with_context(|| replicas.logs())?;
        eventually("the worker", async || {
            let workers = api.get("workers").await?;
            let queues = workers["items"][0]["queues"].as_array().map_or(0, Vec::len);
            Ok((queues > 0).then_some(()))
        })
        .await
        .with_context(|| replicas.logs())?;
        let old = producer.send("shop.charge", json!([17]), json!({"card": "tok"}), "default").await?;
        api.task_in_state(&old, "failed").await.with_context(|| replicas.logs())?;
        let command = eventually("a command that is taken", async || {
            let command = api.command("retry_task", json!({"engine": "celery", "task_id": old})).await?;
            Ok((!is_withdrawn(&command)).then_some(command))
        })
        .await
        .with_context(|| replicas.logs())?;
        assert_eq!(command["status"], "succeeded", "{command}\n{}", replicas.logs());
        let new = command["result"]["new_task_id"].as_str().context("a new id")?;
        for brain in &replicas.brains {
            brain.api.task_in_state(new, "failed").await.with_context(|| replicas.logs())?;
            assert_eq!(brain.api.get(&format!("tasks/celery/{old}")).await?["retried_as"], new, "{}", brain.name);
        }
        replicas.kill(place).await?;
        replicas.spawn(place)?;
        replicas.are_ready().await?;
    }
    Ok(())
}

/// An agent is known to be connected, wherever that is.
async fn is_online(api: &Api, name: &str) -> Result<()> {
    eventually(&format!("{name} online"), async || {
        let agents = api.get("agents").await?;
        let found = agents["items"].as_array().into_iter().flatten().find(|agent| agent["name"] == name);
        Ok(found.filter(|agent| agent["state"] == "online" && agent["connections"] == 1).map(|_| ()))
    })
    .await
}

#[tokio::test]
async fn a_reader_of_the_live_stream_sees_what_comes_in_at_another_brain() -> Result<()> {
    let replicas = Replicas::start(2).await?;
    let url =
        format!("http://127.0.0.1:{}/api/v1/projects/default/stream?topics=tasks,agents", replicas.brains[0].port);
    let stream = reqwest::Client::new().get(url).bearer_auth(&replicas.key).send().await?.error_for_status()?;
    let mut told = String::new();
    let mut chunks = stream.bytes_stream();
    let mut agent = ScriptedAgent::connect(replicas.brains[1].port, &replicas.token, "elsewhere").await?;
    agent.tell(1, "task_sent", "seen-from-afar").await?;
    let seen = async {
        while !told.contains("event: tasks") && !told.contains("event: resync") {
            let chunk = chunks.next().await.context("the stream ended")??;
            told.push_str(std::str::from_utf8(&chunk)?);
        }
        Ok::<_, anyhow::Error>(())
    };
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    seen.with_context(|| format!("nothing was told of the task\n{}", replicas.logs()))??;
    for brain in &replicas.brains {
        assert_eq!(brain.api.get("tasks/celery/seen-from-afar").await?["state"], "pending", "{}", brain.name);
    }
    Ok(())
}

#[tokio::test]
async fn who_signs_in_at_one_brain_is_known_at_all_and_who_signs_out_at_none() -> Result<()> {
    let replicas = Replicas::start(2).await?;
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let at = |brain: usize, path: &str| format!("http://127.0.0.1:{}{path}", replicas.brains[brain].port);
    let link = replicas.secret(&["signin-link", "--public-url", &at(0, "")]).await?;
    let link = link.split_whitespace().find(|word| word.starts_with("http")).context("a link")?.to_owned();
    let answer = browser.get(&link).send().await?;
    let cookie = answer.headers().get("set-cookie").context("a cookie")?.to_str()?;
    let cookie = cookie.split(';').next().context("a cookie")?.to_owned();
    let again = browser.get(link.replace(&at(0, ""), &at(1, ""))).send().await?;
    assert_eq!(again.status(), 410, "a link is good for one brain, once");
    let session = async |brain: usize, method: Method| -> Result<u16> {
        let request = browser.request(method, at(brain, "/api/v1/session"));
        let request = request.header("cookie", &cookie).header("sec-fetch-site", "same-origin");
        Ok(request.send().await?.status().as_u16())
    };
    assert_eq!((session(0, Method::GET).await?, session(1, Method::GET).await?), (200, 200));
    assert_eq!(session(1, Method::DELETE).await?, 204);
    assert_eq!((session(0, Method::GET).await?, session(1, Method::GET).await?), (401, 401));
    Ok(())
}

#[tokio::test]
async fn a_token_that_is_revoked_at_one_brain_closes_its_agents_at_all() -> Result<()> {
    let replicas = Replicas::start(BRAINS).await?;
    let (status, created) = replicas.brains[0].api.post("agent-tokens", &json!({})).await?;
    assert_eq!(status, 201, "{created}");
    let (id, token) = (created["id"].as_str().context("an id")?, created["token"].as_str().context("a token")?);
    let mut agents = Vec::new();
    for brain in &replicas.brains {
        agents.push(ScriptedAgent::connect(brain.port, token, &brain.name).await?);
    }
    let began = Instant::now();
    assert_eq!(replicas.brains[0].api.delete(&format!("agent-tokens/{id}")).await?, 204);
    for agent in &mut agents {
        assert_eq!(agent.closed().await.with_context(|| replicas.logs())?, 4003);
    }
    say(&format!("a revoked token's agents were closed at {BRAINS} brains within {:?}", began.elapsed()));
    for brain in &replicas.brains {
        assert!(ScriptedAgent::connect(brain.port, token, "again").await.is_err(), "{}", brain.name);
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_moves_takes_over_from_the_half_open_connection_that_it_left_behind() -> Result<()> {
    let replicas = Replicas::start(2).await?;
    let [here, there] = [replicas.brains[0].port, replicas.brains[1].port];
    let network = FaultProxy::to(here).await?;
    let mut old = ScriptedAgent::connect(network.port(), &replicas.token, "mover").await?;
    old.tell(1, "task_sent", "t1").await?;
    // The agent finds its connection closed, and the brain goes on believing in it.
    network.abandon();
    assert!(old.closed().await.is_err());
    let mut new = ScriptedAgent::connect(there, &replicas.token, "mover").await?;
    assert_eq!(new.last_seq, 1);
    let old_place = replicas.brains[0].process.as_ref().context("a brain that runs")?;
    eventually("the old connection closed", async || Ok(old_place.log().contains("code=4009").then_some(()))).await?;
    new.tell(2, "task_started", "t1").await?;
    for brain in &replicas.brains {
        is_online(&brain.api, "mover").await.with_context(|| replicas.logs())?;
        assert_eq!(brain.api.get("tasks/celery/t1").await?["state"], "started");
        check_agents(&brain.api).await?;
    }
    // And back; a connection that is there is told.
    let mut back = ScriptedAgent::connect(here, &replicas.token, "mover").await?;
    assert_eq!((back.last_seq, new.closed().await?), (2, 4009));
    back.tell(3, "task_succeeded", "t1").await
}

#[tokio::test]
async fn who_leads_is_followed_by_another_brain_when_it_is_killed() -> Result<()> {
    let mut replicas = Replicas::start(BRAINS).await?;
    for _ in 0..2 {
        let leader = eventually("a leader", async || who_leads(&replicas)).await.with_context(|| replicas.logs())?;
        let began = Instant::now();
        replicas.kill(leader).await?;
        let next = eventually_within(TAKEN_OVER_WITHIN, "another leader", async || who_leads(&replicas)).await;
        let next = next.with_context(|| replicas.logs())?;
        say(&format!("brain {next} took over from brain {leader} after {:?}", began.elapsed()));
        assert_ne!(leader, next);
        replicas.spawn(leader)?;
        replicas.are_ready().await?;
    }
    Ok(())
}

/// Which of the brains that run has the lease.
fn who_leads(replicas: &Replicas) -> Result<Option<usize>> {
    let sql = "SELECT r.name FROM leases l JOIN replicas r ON r.run = l.run WHERE l.name = 'duties' AND l.until > clock_timestamp()";
    let name = replicas.database.sql(sql)?;
    let has_it = |brain: &Replica| brain.process.is_some() && brain.name == name;
    Ok(replicas.brains.iter().position(has_it))
}
