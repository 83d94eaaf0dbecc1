ALTER TABLE `calls` ADD `tokens_input_audio` integer;--> statement-breakpoint
ALTER TABLE `calls` ADD `tokens_output_audio` integer;--> statement-breakpoint
ALTER TABLE `calls` ADD `tokens_cache_write_1h` integer;--> statement-breakpoint
ALTER TABLE `calls` ADD `searches` integer;