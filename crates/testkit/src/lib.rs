//! What the tests of several crates share.

mod authority;
mod balancer;
mod connect_proxy;
mod fault_proxy;
mod mariadb_server;
mod port;
mod postgres;
mod postgres_server;
mod rabbitmq_server;
mod redis_server;

pub use authority::{Authority, Issued};
pub use balancer::Balancer;
pub use connect_proxy::ConnectProxy;
pub use fault_proxy::{FaultProxy, Network};
pub use mariadb_server::MariaDbServer;
pub use port::free_port;
pub use postgres::PostgresDatabase;
pub use postgres_server::{POSTGRES_PASSWORD, PostgresServer};
pub use rabbitmq_server::RabbitMqServer;
pub use redis_server::{RedisServer, RedisSetup, Sentinels};
