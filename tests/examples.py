"""Commands as ms-swift's documentation and examples give them for each task, with the GPUs that they are for.

A line: `nodes x GPUs: command`. B, LORA, FULL, FA and MB are the options that its examples share.
"""

from __future__ import annotations

import shlex
from typing import Any

from training.swift.given import World

B = (
    "--torch_dtype bfloat16 --num_train_epochs 1 --per_device_train_batch_size 1 --gradient_accumulation_steps 16 "
    "--logging_steps 5 --save_steps 100 --eval_steps 100 --save_total_limit 2 --warmup_ratio 0.05 --max_length 2048 "
    "--dataloader_num_workers 4 --dataset_num_proc 4 --split_dataset_ratio 0.01 --load_from_cache_file true "
    "--output_dir output/a"
)
LORA = "--tuner_type lora --lora_rank 8 --lora_alpha 32 --target_modules all-linear --learning_rate 1e-4"
FULL = "--tuner_type full --learning_rate 1e-5 --save_only_model true"
FA = "--attn_impl flash_attn --packing true --use_liger_kernel true"
COLOCATE = (
    "--rlhf_type grpo --reward_funcs accuracy format --use_vllm true --vllm_mode colocate --num_generations 8 "
    "--vllm_gpu_memory_utilization 0.5 --vllm_max_model_len 4096 --sleep_level 1 --offload_model true "
    "--offload_optimizer true --max_completion_length 1024 --per_device_eval_batch_size 8"
)
MB = (
    "--save_safetensors true --finetune true --cross_entropy_loss_fusion true --recompute_granularity full "
    "--recompute_method uniform --recompute_num_layers 1 --lr 1e-5 --min_lr 1e-6 --lr_warmup_fraction 0.05 "
    "--num_train_epochs 1 --no_save_optim true --no_save_rng true --attention_backend flash --dataset_num_proc 8 "
    "--dataloader_num_workers 8 --save_steps 200 --output_dir megatron_output/a"
)
MOE = (
    "--moe_permute_fusion true --moe_grouped_gemm true --moe_shared_expert_overlap true --moe_aux_loss_coeff 1e-3 "
    "--sequence_parallel true"
)
MLORA = "--tuner_type lora --lora_rank 8 --lora_alpha 32 --target_modules all-linear --lr 1e-4 --min_lr 1e-5"
Q = "--model Qwen/Qwen2.5-7B-Instruct"
D = "--dataset AI-ModelScope/alpaca-gpt4-data-en#500"
DPO = "--dataset hjh0119/shareAI-Llama3-DPO-zh-en-emoji"
MATH = "--dataset AI-MO/NuminaMath-TIR#1000"

LINES = f"""
1x1: swift sft {Q} {D} {B} {LORA}
1x1: swift sft --model Qwen/Qwen3-4B --dataset swift/self-cognition#500 {B} {LORA} --model_author swift --model_name robot
1x1: swift sft {Q} {D} {B} {FULL}
1x8: swift sft --model Qwen/Qwen2.5-32B {D} {FULL} {FA} --deepspeed zero3 --max_length 8192 --streaming true --max_steps 2000
1x1: swift sft {Q} {D} {B} {LORA} --quant_method bnb --quant_bits 4 --bnb_4bit_compute_dtype bfloat16 --bnb_4bit_quant_type nf4 --bnb_4bit_use_double_quant true
1x1: swift sft {Q} {D} {B} {LORA} --quant_method hqq --quant_bits 4
1x1: swift sft --model Qwen/Qwen2.5-7B-Instruct-AWQ {D} {B} {LORA}
1x2: swift sft --model Qwen/Qwen2.5-VL-72B-Instruct-GPTQ-Int4 {D} {B} {LORA}
1x1: swift sft {Q} {D} {B} {LORA} --use_dora true
1x1: swift sft {Q} {D} {B} {LORA} --use_rslora true --lorap_lr_ratio 16 --init_weights pissa
1x1: swift sft {Q} {D} {B} --tuner_type adalora --learning_rate 1e-4
1x1: swift sft {Q} {D} {B} --tuner_type llamapro --learning_rate 1e-4
1x1: swift sft --model LLM-Research/Meta-Llama-3.1-8B-Instruct {D} {B} --tuner_type longlora
1x1: swift sft {Q} {D} {B} --tuner_type reft
1x1: swift sft {Q} {D} {B} --tuner_type boft
1x1: swift sft {Q} {D} {B} --tuner_type bone
1x1: swift sft {Q} {D} {B} --tuner_type adapter
1x1: swift sft {Q} {D} {B} {FULL} --use_galore true
1x1: swift sft {Q} {D} {B} {FULL} --callbacks lisa --lisa_activated_layers 2
1x1: swift sft {Q} {D} {B} {FULL} --optimizer muon
1x1: swift sft {Q} {D} {B} {LORA} --tuner_backend unsloth
1x4: swift pt --model Qwen/Qwen2.5-7B --dataset swift/chinese-c4 {FULL} --streaming true --max_steps 10000 --packing true --deepspeed zero3 --max_length 8192 --attn_impl flash_attn
1x1: swift sft --model Qwen/Qwen2.5-7B {D} {B} {LORA} --template chatml --modules_to_save embed_tokens lm_head
1x4: swift sft {Q} {D} {B} {FULL} --enable_dft_loss true --deepspeed zero3
1x1: swift sft --model Qwen/Qwen3-8B --dataset swift/self-cognition:empty_think#600 {B} {LORA} --loss_scale ignore_empty_think
1x2: swift sft {Q} --cached_dataset C/train --cached_val_dataset C/val {LORA} --max_length 2048 --eval_steps 100
1x2: swift sft {Q} {D} {B} {LORA} --deepspeed zero2_offload
1x2: swift sft {Q} {D} {B} --tuner_type lora --fsdp fsdp2 --gradient_checkpointing false
1x8: swift sft --model Qwen/Qwen2.5-3B-Instruct {D} {FULL} --sequence_parallel_size 8 --attn_impl flash_attn --padding_free true --use_logits_to_keep false --max_length 65536
1x8: swift sft --model Qwen/QwQ-32B {D} {LORA} --sequence_parallel_size 8 --attn_impl flash_attn --rope_scaling yarn --max_model_len 512000 --deepspeed zero3_offload --max_length 512000
1x4: swift sft --model Qwen/Qwen3.5-35B-A3B {D} {B} {LORA} --experts_impl grouped_mm --router_aux_loss_coef 1e-3 --deepspeed zero3
2x4: swift sft {Q} {D} {B} {FULL} --deepspeed zero2
2x8: swift sft --model Qwen/Qwen2.5-72B-Instruct {D} {B} {FULL} --deepspeed zero3 --zero_hpz_partition_size 8
1x1: swift sft --model Qwen/Qwen2.5-VL-7B-Instruct --dataset AI-ModelScope/LaTeX_OCR:human_handwrite#20000 {B} {LORA} --freeze_vit true --freeze_aligner true
1x2: swift sft --model Qwen/Qwen3-VL-4B-Instruct {D} {B} {LORA} --packing true --padding_free true --attn_impl flash_attn --vit_gradient_checkpointing false --deepspeed zero2
1x4: swift sft --model Qwen/Qwen2.5-VL-7B-Instruct {D} {B} --tuner_type lora_llm --freeze_vit false --freeze_aligner false
1x4: swift sft --model Qwen/Qwen3.5-4B {D} {B} {LORA} --group_by_length true --deepspeed zero2
1x2: swift sft --task_type embedding --loss_type infonce --model Qwen/Qwen3-Embedding-4B --dataset sentence-transformers/stsb:positive {B} {LORA} --dataloader_drop_last true --padding_free true --attn_impl flash_attn --deepspeed zero2
1x1: swift sft --task_type reranker --loss_type pointwise_reranker --model iic/gte-reranker-modernbert-base {D} {B} {FULL} --label_names labels --dataloader_drop_last true
1x2: swift sft --task_type generative_reranker --loss_type listwise_reranker --model Qwen/Qwen3-Reranker-4B {D} {B} {LORA}
1x1: swift sft --task_type seq_cls --num_labels 2 --use_chat_template false --model Qwen/Qwen2.5-0.5B {D} {B} {LORA}
1x1: swift sft --task_type seq_cls --num_labels 1 --problem_type regression --model Qwen/Qwen2.5-0.5B {D} {B} {LORA}
1x1: swift sft --agent_template hermes --model Qwen/Qwen2.5-3B --dataset AI-ModelScope/function-calling-chatml {B} {FULL} --packing true --use_liger_kernel true --attn_impl flash_attn --loss_scale hermes
1x1: swift sft {Q} {D} {B} {LORA} --eval_use_evalscope --eval_dataset gsm8k --eval_limit 10
1x8: swift rlhf {Q} {MATH} {B} {LORA} --rlhf_type grpo --reward_funcs accuracy format --max_completion_length 1024 --num_generations 4 --per_device_train_batch_size 4 --per_device_eval_batch_size 4 --log_completions true
1x8: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --deepspeed zero2
1x4: swift rlhf --model Qwen/Qwen2.5-72B-Instruct {MATH} {B} {LORA} {COLOCATE} --vllm_tensor_parallel_size 4 --deepspeed zero3_offload --move_model_batches 16 --num_generations 4
1x8: swift rlhf {Q} {MATH} {B} {FULL} {COLOCATE} --loss_type dapo --epsilon_high 0.28 --dynamic_sample true --max_resample_times 3 --overlong_filter true --reward_funcs accuracy soft_overlong --soft_cache_length 4096 --beta 0
1x8: swift rlhf {Q} {MATH} {B} {FULL} {COLOCATE} --importance_sampling_level sequence --epsilon 3e-4 --epsilon_high 4e-4 --steps_per_generation 32 --beta 0
1x8: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --loss_type sapo --tau_pos 1 --tau_neg 1.05
1x8: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --loss_type cispo --epsilon_high 5
1x8: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --loss_type fipo --delta 10 --fipo_decay_rate 32
1x8: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --advantage_estimator rloo --kl_in_reward true
1x8: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --advantage_estimator reinforce_plus_plus --scale_rewards batch
1x8: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --chord_sft_dataset AI-ModelScope/alpaca-gpt4-data-en --chord_mu_peak 0.9 --chord_mu_valley 0.05 --chord_sft_per_device_train_batch_size 1
1x8: swift rlhf {Q} {MATH} {B} {LORA} --rlhf_type grpo --reward_funcs accuracy --use_vllm true --vllm_mode server --vllm_server_host 10.0.0.9 10.0.0.10 --vllm_server_port 8000 8000 --per_device_eval_batch_size 8
1x8: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --reward_model a/rm1 a/rm2 --reward_weights 0.1 1 1 1
2x4: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --deepspeed zero2
1x8: swift rlhf {Q} {MATH} {B} {LORA} {COLOCATE} --sequence_parallel_size 4 --padding_free true --attn_impl flash_attn --deepspeed zero3
1x4: swift rlhf --rlhf_type dpo {Q} {DPO} {B} {FULL} --max_length 8192 --rpo_alpha 0.1 --deepspeed zero3 --padding_free true --attn_impl flash_attn
1x1: swift rlhf --rlhf_type dpo {Q} {DPO} {B} {LORA} --rpo_alpha 0.1
1x4: swift rlhf --rlhf_type dpo --model Qwen/Qwen2.5-VL-7B-Instruct {DPO} {B} {LORA} --loss_type sigmoid bco_pair sft --loss_weights 0.8 0.2 1.0
1x2: swift rlhf --rlhf_type kto {Q} {DPO} {B} {LORA} --deepspeed zero2
1x2: swift rlhf --rlhf_type cpo {Q} {DPO} {B} {LORA}
1x2: swift rlhf --rlhf_type orpo {Q} {DPO} {B} {LORA}
1x2: swift rlhf --rlhf_type simpo --simpo_gamma 1.0 {Q} {DPO} {B} {FULL}
1x2: swift rlhf --rlhf_type rm {Q} {DPO} {B} {LORA} --center_rewards_coefficient 0.01
1x8: swift rlhf --rlhf_type ppo {Q} {D} {B} {FULL} --reward_model a/rm --response_length 512 --temperature 0.7 --deepspeed zero3
1x4: swift rlhf --rlhf_type gkd --model Qwen/Qwen2.5-7B --teacher_model Qwen/Qwen2.5-14B-Instruct {D} {B} {FULL} --max_completion_length 512 --deepspeed zero3
1x4: swift rlhf --rlhf_type gkd --model Qwen/Qwen2.5-7B --teacher_model Qwen/Qwen2.5-14B-Instruct {D} {B} {FULL} --lmbda 0 --padding_free true --attn_impl flash_attn --deepspeed zero3
1x4: swift rlhf --rlhf_type gkd --model Qwen/Qwen2.5-7B --teacher_model Qwen/Qwen2.5-14B-Instruct {D} {B} {FULL} --use_vllm true --vllm_mode colocate --vllm_gpu_memory_utilization 0.3 --teacher_deepspeed zero3_offload --deepspeed zero3
1x4: swift rlhf --rlhf_type gkd --model Qwen/Qwen2.5-7B --teacher_model_server http://10.0.0.9:8000 --gkd_logits_topk 64 --lmbda 1 --beta 0.5 {D} {B} {FULL}
1x4: swift infer {Q} --infer_backend transformers --max_batch_size 16 --val_dataset swift/self-cognition
1x4: swift infer {Q} --infer_backend vllm --vllm_tensor_parallel_size 2 --vllm_max_model_len 8192 --write_batch_size 1000 --result_path out.jsonl --val_dataset swift/self-cognition
1x8: swift infer --model Qwen/Qwen3-235B-A22B-Instruct-2507 --infer_backend sglang --sglang_tp_size 8 --val_dataset swift/self-cognition --write_batch_size 10000
1x1: swift infer {Q} --infer_backend vllm --val_dataset swift/self-cognition --vllm_speculative_config '{{"method": "qwen3_next_mtp", "num_speculative_tokens": 2}}'
1x8: swift deploy {Q} --infer_backend vllm --served_model_name N --vllm_max_model_len 8192 --vllm_tensor_parallel_size 4 --vllm_data_parallel_size 2 --api_key K
1x1: swift deploy {Q} --infer_backend vllm --adapters lora1=a/one lora2=a/two
1x1: swift deploy --model Qwen/Qwen3-Embedding-4B --task_type embedding --infer_backend vllm
1x1: swift deploy {Q} --infer_backend lmdeploy --lmdeploy_tp 1 --max_logprobs 64
1x2: swift rollout {Q} --vllm_data_parallel_size 2 --vllm_tensor_parallel_size 1 --port 8000
1x1: swift rollout {Q} --multi_turn_scheduler math_tip_trick --max_turns 3 --vllm_use_async_engine true
1x1: swift export --adapters output/checkpoint-10 --merge_lora true
1x1: swift merge-lora --adapters output/checkpoint-10
1x1: swift export {Q} --quant_method awq --quant_bits 4 {D} --quant_n_samples 256 --max_length 2048 --device_map cpu
1x1: swift export {Q} --quant_method gptq_v2 --quant_bits 4 {D}
1x2: swift export {Q} --quant_method awq --quant_bits 4 {D} --device_map auto --quant_batch_size -1 --quant_n_samples 64
1x1: swift export {Q} --quant_method bnb --quant_bits 4 --bnb_4bit_quant_type nf4
1x1: swift export {Q} --quant_method fp8
1x1: swift export {Q} {D} --to_cached_dataset true --dataset_num_proc 64 --output_dir C
1x1: swift export {Q} --to_ollama true
1x1: swift export --adapters output/checkpoint-10 --push_to_hub true --hub_model_id I --use_hf true
1x1: swift export {Q} --to_mcore true --output_dir m-mcore
1x1: swift eval {Q} --eval_backend Native --infer_backend vllm --eval_dataset gsm8k mmlu --eval_limit 100
1x1: swift eval --model N --eval_url http://10.0.0.9:8000/v1 --eval_dataset gsm8k
1x1: swift eval {Q} --eval_backend VLMEvalKit --eval_dataset realWorldQA
1x1: swift sample {Q} {D} --num_return_sequences 4 --sampler_engine vllm --orm_model math --prm_model Qwen/Qwen2.5-Math-PRM-7B --prm_threshold 0.8 --output_file o.jsonl
1x1: swift sample --model qwen-max {D} --sampler_type distill --sampler_engine client --engine_kwargs '{{"base_url": "http://10.0.0.9/v1"}}'
1x1: swift app {Q} --infer_backend vllm --stream true
1x1: swift web-ui --lang en
1x2: megatron sft {Q} {D} {MB} --tensor_model_parallel_size 2 --sequence_parallel true --micro_batch_size 16 --global_batch_size 16 --max_length 2048
1x4: megatron pt --model Qwen/Qwen2.5-7B --dataset swift/chinese-c4 --streaming true --packing true --train_iters 10000 --tensor_model_parallel_size 4 --sequence_parallel true --micro_batch_size 1 --global_batch_size 16 --max_length 8192 --recompute_granularity selective
1x8: megatron sft --model Qwen/Qwen3-32B {D} {MB} --tensor_model_parallel_size 8 --sequence_parallel true --packing true --max_length 8192 --micro_batch_size 1
1x8: megatron sft --model Qwen/Qwen2.5-72B-Instruct {D} {MB} --tensor_model_parallel_size 8 --sequence_parallel true --optimizer_cpu_offload true --use_precision_aware_optimizer true --optimizer_offload_fraction 1
1x2: megatron sft {Q} {D} {MB} {MLORA} --merge_lora false --tensor_model_parallel_size 2 --sequence_parallel true --micro_batch_size 16
1x2: megatron sft --model Qwen/Qwen3-30B-A3B {D} {MB} {MLORA} {MOE} --expert_model_parallel_size 2 --tensor_model_parallel_size 2 --micro_batch_size 8
1x8: megatron sft --model Qwen/Qwen3-30B-A3B {D} {MB} {MOE} --tensor_model_parallel_size 4 --pipeline_model_parallel_size 2 --expert_model_parallel_size 4 --decoder_first_pipeline_num_layers 25 --moe_expert_capacity_factor 2 --packing true --max_length 8192 --global_batch_size 4
2x8: megatron sft --model Qwen/Qwen3-30B-A3B {D} {MB} --moe_grouped_gemm true --pipeline_model_parallel_size 2 --expert_model_parallel_size 8 --micro_batch_size 1 --packing true --max_length 8192
1x8: megatron sft --model Qwen/Qwen3-235B-A22B {D} {MB} {MLORA} {MOE} --tensor_model_parallel_size 4 --expert_tensor_parallel_size 1 --expert_model_parallel_size 8 --micro_batch_size 8
1x4: megatron sft --model Qwen/Qwen3.5-35B-A3B {D} {MB} {MLORA} --expert_model_parallel_size 4 --micro_batch_size 4 --group_by_length true --padding_free false --merge_lora true
2x4: megatron sft --model Qwen/Qwen2.5-14B {D} --num_train_epochs 1 --tensor_model_parallel_size 4 --sequence_parallel true --packing true --recompute_granularity selective --micro_batch_size 1 --global_batch_size 16
1x8: megatron sft {Q} {D} {MB} --fp8_recipe blockwise --fp8_format e4m3 --fp8_param_gather true
1x2: megatron sft --task_type embedding --loss_type infonce --model Qwen/Qwen3-Embedding-4B {D} {MB} --tensor_model_parallel_size 2 --sequence_parallel true --micro_batch_size 16
1x4: megatron rlhf --rlhf_type dpo --beta 0.1 --rpo_alpha 0.1 --loss_type sigmoid {Q} {DPO} {MB} --tensor_model_parallel_size 4 --sequence_parallel true --micro_batch_size 8
1x2: megatron rlhf --rlhf_type kto --desirable_weight 1 --undesirable_weight 1 --model Qwen/Qwen3-30B-A3B {DPO} {MB} {MLORA} --expert_model_parallel_size 2
1x2: megatron rlhf --rlhf_type rm --center_rewards_coefficient 0.01 {Q} {DPO} {MB}
1x8: megatron rlhf --rlhf_type gkd --teacher_model Qwen/Qwen2.5-14B-Instruct {Q} {D} {MB} --tensor_model_parallel_size 2 --sequence_parallel true --pipeline_model_parallel_size 2 --context_parallel_size 2 --vllm_mode colocate --offload_teacher_model true
1x8: megatron rlhf --rlhf_type grpo --reward_funcs accuracy --model Qwen/Qwen2.5-VL-3B-Instruct {MATH} {MB} --micro_batch_size 4 --global_batch_size 128 --steps_per_generation 4 --num_generations 8 --vllm_mode colocate --vllm_gpu_memory_utilization 0.7 --sleep_level 2 --offload_model true --offload_optimizer true
1x6: megatron rlhf --rlhf_type grpo --reward_funcs accuracy {Q} {MATH} {MB} --micro_batch_size 1 --global_batch_size 96 --num_generations 8 --vllm_mode server --vllm_server_host 10.0.0.9
1x4: megatron export {Q} --to_mcore true --tensor_model_parallel_size 2 --pipeline_model_parallel_size 2 --output_dir m-mcore --test_convert_precision true
1x4: megatron export --mcore_model m-mcore --to_hf true --tensor_model_parallel_size 2 --pipeline_model_parallel_size 2
1x4: megatron export {Q} --mcore_adapter out/checkpoint-10 --to_hf true --merge_lora true
1x4: megatron export --model Qwen/Qwen3-30B-A3B --to_hf true --fp8_recipe blockwise --fp8_format e4m3 --fp8_param_gather true
"""  # noqa: E501


def _read(line: str) -> tuple[str, dict[str, Any], World]:
    size, _, typed = line.partition(": ")
    nodes, gpus = map(int, size.split("x"))
    trainer, command, *words = shlex.split(typed)
    args: dict[str, list[Any]] = {}
    for word in words:
        if word.startswith("--"):
            args[name := word.removeprefix("--")] = []
        else:
            args[name].append(word)
    flat = {name: values if len(values) > 1 else values[0] if values else True for name, values in args.items()}
    one = command in ("deploy", "rollout", "export", "merge-lora", "sample", "eval", "app", "web-ui")
    return f"{trainer} {command}", flat, World(1, 1, gpus) if one and trainer == "swift" else World(nodes, gpus, gpus)


EXAMPLES = [_read(line) for line in LINES.strip().splitlines()]
