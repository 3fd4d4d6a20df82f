//! `taskplane problems`.

use clap::Args;

use super::ApiOptions;

#[derive(Args, Debug)]
pub(crate) struct ProblemsCommand {
    #[command(flatten)]
    pub(crate) api: ApiOptions,
}
