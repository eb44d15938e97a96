"""What a word that names nothing may mean: other libraries' words for our options, parts of names, spelling.

Standard library only. The command line and Python share it; it does not know which options there are.
"""

import difflib
from collections.abc import Iterable

from fastrl.errors import CUTOFF, UserError

MOST = 3
"""Most options that an answer names."""

ELSEWHERE: dict[tuple[str, ...], str] = {
    ("actor_lr", "critic_lr"): "lr learning_rate step_size lr_rate",
    ("actor_lr",): "policy_lr pi_lr lr_actor lr_policy actor_learning_rate policy_learning_rate",
    ("critic_lr",): "qf_lr q_lr vf_lr v_lr lr_critic lr_q critic_learning_rate",
    ("temperature_lr",): "ent_lr entropy_lr temp_lr alpha_learning_rate",
    ("alpha_lr",): "lagrange_lr cql_alpha_lr",
    ("discount",): "gamma discount_factor",
    ("tau",): "polyak ema soft_target_update_rate target_update_rate target_update_tau",
    ("capacity",): "buffer_size replay_size buffer_capacity memory_size replay_buffer_size max_buffer_size",
    ("warmup",): "learning_starts start_steps start_timesteps random_steps init_steps num_warmup min_replay_size",
    ("steps",): "total_timesteps timesteps total_steps num_steps max_steps max_timesteps env_steps iterations",
    ("pretrain_steps",): "offline_steps num_offline_steps offline_iterations offline_epochs pretrain",
    ("num_envs",): "n_envs n_env parallel_envs num_workers n_workers",
    ("seeds",): "num_seeds n_seeds n_runs num_runs",
    ("seed",): "random_seed rng_seed",
    ("utd",): "gradient_steps utd_ratio update_to_data replay_ratio updates_per_step",
    ("initial_temperature",): "ent_coef entropy_coef temperature init_temperature init_alpha alpha_init",
    ("target_entropy",): "ent_target entropy_target",
    ("alpha",): "cql_alpha min_q_weight cql_weight conservative_weight",
    ("cql_actions",): "cql_n_actions num_random n_actions num_sampled_actions",
    ("gap",): "target_action_gap cql_target_action_gap lagrange lagrange_thresh lagrange_threshold",
    ("bc_weight",): "bc_alpha bc_coef bc_loss_weight",
    ("batch_size",): "batch bs minibatch_size mini_batch_size",
    ("actor_hidden", "critic_hidden"): "hidden_dims hidden_dim hidden_sizes hidden_size hidden_layers net_arch width",
    ("actor_hidden",): "policy_hidden policy_arch policy_hidden_dims policy_hidden_sizes",
    ("critic_hidden",): "qf_hidden q_hidden qf_arch value_hidden",
    ("num_critics",): "n_critics ensemble_size num_qs n_qs num_q ensemble num_ensemble",
    ("subset_size",): "num_min_qs critic_subsample_size num_subset",
    ("expectile",): "iql_tau quantile",
    ("inverse_temperature",): "beta awr_temperature iql_temperature inverse_temp",
    ("dropout",): "dropout_rate actor_dropout",
    ("layer_norm",): "layernorm use_layer_norm critic_layer_norm",
    ("grad_clip",): "max_grad_norm clip_grad grad_norm gradient_clip",
    ("offline_ratio",): "mixing_ratio offline_fraction data_ratio demo_ratio",
    ("eval_every",): "eval_freq eval_interval eval_period evaluation_frequency test_every",
    ("eval_episodes", "episodes"): "n_eval_episodes num_eval_episodes n_eval eval_runs num_episodes n_episodes",
    ("checkpoint_minutes",): "save_freq save_interval save_every checkpoint_every checkpoint_freq checkpoint_interval",
    ("reward_bias",): "reward_shift",
    ("exploration_noise", "noise"): "expl_noise action_noise",
    ("target_noise",): "policy_noise target_policy_noise",
    ("noise_limit",): "noise_clip target_noise_clip",
    ("policy_delay",): "policy_frequency policy_freq actor_delay",
    ("epochs",): "n_epochs update_epochs num_epochs k_epochs",
    ("trace",): "gae_lambda lam gae",
    ("clip",): "clip_coef clip_range clip_eps clip_ratio",
    ("env",): "env_id env_name environment task task_id gym_id game",
    ("env_option", "env_options"): "env_kwargs env_args env_arg",
    ("dataset",): "dataset_path dataset_id dataset_name data data_path data_dir offline_dataset",
    ("out",): "save_dir save_path log_dir logdir log_path output output_dir exp_dir work_dir results_dir run_dir",
    ("from", "start", "policy"): "load load_model model model_path checkpoint restore pretrained agent init_from",
    ("resume",): "continue restart auto_resume",
    ("log",): "wandb use_wandb track trackio loggers logger tensorboard tb_log report_to",
}
"""Our options, and the words that others have for them."""

NONE: dict[str, str] = {
    "jax takes the device; JAX_PLATFORMS=cpu in the environment asks for the CPU": "cuda device gpu use_gpu platform",
    "--log wandb takes WANDB_PROJECT, WANDB_ENTITY and WANDB_MODE from the environment": (
        "wandb_project wandb_project_name wandb_entity wandb_mode"
    ),
    "a run folder holds metrics.jsonl, and --log says where else its curves go": "log_interval",
}
"""What is said of words for which there is no option."""

MEANINGS = {word: options for options, words in ELSEWHERE.items() for word in words.split()}
NOTES = {word: note for note, words in NONE.items() for word in words.split()}


def canonical(word: str) -> str:
    """`--Actor-LR` and `actor_lr` are one option."""
    return word.lower().lstrip("-").replace("-", "_")


def meant(word: str, known: Iterable[str]) -> list[str]:
    """Which of the known options (canonical) a word may mean: by meaning, by its parts, by spelling; or none."""
    word, options = canonical(word), list(dict.fromkeys(known))
    if found := [option for option in MEANINGS.get(word, ()) if option in options]:
        return found
    if word in NOTES:
        return []
    parts = set(word.split("_"))
    if found := [option for option in options if parts <= set(option.split("_"))]:
        return found[:MOST]
    return difflib.get_close_matches(word, options, n=1, cutoff=CUTOFF)


def unknown_option(word: str, known: Iterable[str], hint: str) -> UserError:
    """The error for an option that is not there; options are written as `known` writes them, in Python with quotes."""
    write = str if word.startswith("-") else repr
    shown = {canonical(option): option for option in known}
    found = [write(shown[option]) for option in meant(word, shown)]
    note = f"did you mean {' or '.join(found)}?" if found else NOTES.get(canonical(word), "")
    return UserError(f"unknown option {write(word)}{'; ' if note else ''}{note} ({hint})")
