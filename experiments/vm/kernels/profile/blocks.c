// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A plugin of QEMU's emulation that counts how often each block of instructions is executed. At the end of the emulator it writes
 * a line for each block to the file in $BLOCKS: its address in hexadecimal, its instructions, its executions. Debian does not
 * package the header of the plugin interface, so the part that is used is declared here (version 1 of the interface).
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct qemu_plugin_tb;
typedef struct qemu_info_t qemu_info_t;
enum { ADD_U64 = 0, INTERFACE = 1 };

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(uint64_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int op, void *counter, uint64_t by);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*call)(uint64_t, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *block);

int qemu_plugin_version = INTERFACE;

struct block {
	uint64_t address, instructions, executions;
	struct block *next;
};

/* Lists of blocks by address. */
enum { LISTS = 1 << 18 };
static struct block *lists[LISTS];

static void translated(uint64_t id, struct qemu_plugin_tb *found)
{
	uint64_t address = qemu_plugin_tb_vaddr(found), instructions = qemu_plugin_tb_n_insns(found);
	struct block **list = &lists[address % LISTS], *block = *list;

	while (block && (block->address != address || block->instructions != instructions))
		block = block->next;
	if (!block) {
		block = calloc(1, sizeof(*block));
		if (!block)
			abort();
		*block = (struct block){ address, instructions, 0, *list };
		*list = block;
	}
	qemu_plugin_register_vcpu_tb_exec_inline(found, ADD_U64, &block->executions, 1);
}

static void ended(uint64_t id, void *data)
{
	FILE *file = fopen(getenv("BLOCKS"), "w");

	for (int list = 0; file && list < LISTS; list++)
		for (struct block *block = lists[list]; block; block = block->next)
			if (block->executions)
				fprintf(file, "%jx %ju %ju\n", (uintmax_t)block->address, (uintmax_t)block->instructions,
					(uintmax_t)block->executions);
	if (!file || fclose(file))
		perror("BLOCKS");
}

int qemu_plugin_install(uint64_t id, const qemu_info_t *info, int count, char **arguments)
{
	if (!getenv("BLOCKS"))
		return 1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
