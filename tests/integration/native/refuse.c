/* refuse CALL COMMAND...: runs COMMAND, and everything that it starts, on a kernel that answers the system call CALL with EPERM,
   as a container's seccomp profile would. CALL is a name, or name/ARGUMENT=VALUE to refuse it for one value of an argument. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CALL(name) { #name, SYS_##name }

static const struct { const char *name; long number; } calls[] = {
    CALL(clone3), CALL(close_range), CALL(copy_file_range), CALL(eventfd2), CALL(fallocate), CALL(fsync), CALL(getpriority),
    CALL(getrandom), CALL(io_uring_enter), CALL(io_uring_setup), CALL(madvise), CALL(memfd_create), CALL(mremap), CALL(pidfd_open),
    CALL(prctl), CALL(prlimit64), CALL(recvmmsg), CALL(rseq), CALL(sched_getaffinity), CALL(sched_setattr), CALL(sched_setscheduler),
    CALL(sendmmsg), CALL(setpgid), CALL(setpriority), CALL(setsockopt), CALL(socketpair), CALL(statx), CALL(symlink), CALL(sysinfo), CALL(vfork),
    CALL(ioprio_set), CALL(seccomp), CALL(capset), CALL(capget), CALL(landlock_create_ruleset), CALL(landlock_add_rule),
    CALL(landlock_restrict_self), CALL(fcntl), CALL(flock), CALL(clock_gettime), CALL(sched_yield),
};

int main(int argc, char **argv)
{
    char *argument = argc > 2 ? strchr(argv[1], '/') : NULL;
    unsigned at = 0, value = 0;
    long number = -1;

    if (argc < 3)
        return 64;
    if (argument) {
        *argument++ = '\0';
        if (sscanf(argument, "%u=%u", &at, &value) != 2)
            return 64;
    }
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(calls[i].name, argv[1]))
            number = calls[i].number;
    if (number < 0) {
        fprintf(stderr, "refuse: no such call: %s\n", argv[1]);
        return 64;
    }
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args) + 8 * at),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, argument ? 1 : 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0)) {
        perror("refuse");
        return 71;
    }
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    return 72;
}
