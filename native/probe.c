/*
 * Proves by behaviour what the kernel refuses: runs in a throw-away container that is set up like the gateway's.
 *
 *   probe calls      makes each dangerous system call once; a line "NAME RESULT" for each
 *   probe fork N     starts up to N children; "forked COUNT ERRNO"
 *   probe hog MIB    uses memory; "touched MIB" every 64 MiB, "touched all MIB" or "refused ERRNO" at the end
 *
 * Exit codes: 0 the answer is on stdout, 2 usage, 3 not in a sibling container, 4 the probe itself could not work.
 *
 * No C library and no start files, so that it runs in any image and its bytes depend on this file and the compiler
 * alone. `native/build` makes the shipped programs from it.
 */

/* ---------------------------------------------------------------- the kernel's interface */

/* NR(x86-64, aarch64): the number of a call. */
#if defined(__x86_64__)
#define NR(x86, arm) (x86)
__asm__(".globl _start\n"
        "_start:\n"
        "  xor %ebp, %ebp\n"
        "  mov %rsp, %rdi\n"
        "  and $-16, %rsp\n"
        "  call begin\n");

static long call6(long number, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
#define NR(x86, arm) (arm)
__asm__(".globl _start\n"
        "_start:\n"
        "  mov x29, #0\n"
        "  mov x30, #0\n"
        "  mov x0, sp\n"
        "  bl begin\n");

static long call6(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
}
#else
#error "x86-64 and aarch64 only"
#endif

#define call3(number, a, b, c) call6(number, (long)(a), (long)(b), (long)(c), 0, 0, 0)

enum {
  SYS_read = NR(0, 63),
  SYS_write = NR(1, 64),
  SYS_close = NR(3, 57),
  SYS_mmap = NR(9, 222),
  SYS_madvise = NR(28, 233),
  SYS_getpid = NR(39, 172),
  SYS_clone = NR(56, 220),
  SYS_wait4 = NR(61, 260),
  SYS_kill = NR(62, 129),
  SYS_getppid = NR(110, 173),
  SYS_prctl = NR(157, 167),
  SYS_exit_group = NR(231, 94),
  SYS_openat = NR(257, 56),
  SYS_mknodat = NR(259, 33),
  SYS_unlinkat = NR(263, 35),
  SYS_pipe2 = NR(293, 59),
  SYS_clone3 = 435,
};

enum { SIGKILL = 9, SIGSEGV = 11, SIGCHLD = 17, SIGSYS = 31 };
enum { ENOENT = 2, EACCES = 13, EROFS = 30, ENOSYS = 38 };
enum { PR_SET_PDEATHSIG = 1, PR_SET_DUMPABLE = 4 };
enum { O_WRONLY = 1, O_CLOEXEC = 02000000 };
enum { S_IFCHR = 0020000 };
enum { CLONE_NEWUSER = 0x10000000 };

#define AT_FDCWD (-100)
/* No process may have this address, so that the kernel answers EFAULT where it looks. */
#define BAD (-1L)
/* Larger than any process number (the kernel's limit is 2^22). */
#define NOBODY 0x7fffffff

static int is_error(long result) { return result < 0 && result >= -4095; }

static _Noreturn void quit(int code) {
  for (;;) call3(SYS_exit_group, code, 0, 0);
}

/* ---------------------------------------------------------------- text */

static char text[8192];
static unsigned long used;

static void add(const char *string) {
  while (*string != 0 && used < sizeof text) text[used++] = *string++;
}

static void add_number(unsigned long number) {
  char digits[24];
  unsigned at = sizeof digits - 1;
  digits[at] = 0;
  do digits[--at] = '0' + number % 10;
  while ((number /= 10) != 0);
  add(&digits[at]);
}

static void flush(int fd) {
  unsigned long done = 0;
  while (done < used) {
    long written = call3(SYS_write, fd, text + done, used - done);
    if (written <= 0) quit(4);
    done += written;
  }
  used = 0;
}

static _Noreturn void fail(const char *message, int code) {
  used = 0;
  add(message);
  add("\n");
  flush(2);
  quit(code);
}

static int same(const char *a, const char *b) {
  while (*a != 0 && *a == *b) a++, b++;
  return *a == *b;
}

static const struct {
  int number;
  const char *name;
} errors[] = {
    {1, "EPERM"}, {2, "ENOENT"}, {3, "ESRCH"}, {4, "EINTR"}, {5, "EIO"}, {6, "ENXIO"}, {7, "E2BIG"},
    {8, "ENOEXEC"}, {9, "EBADF"}, {10, "ECHILD"}, {11, "EAGAIN"}, {12, "ENOMEM"}, {13, "EACCES"},
    {14, "EFAULT"}, {16, "EBUSY"}, {17, "EEXIST"}, {19, "ENODEV"}, {20, "ENOTDIR"}, {21, "EISDIR"},
    {22, "EINVAL"}, {23, "ENFILE"}, {24, "EMFILE"}, {25, "ENOTTY"}, {28, "ENOSPC"}, {30, "EROFS"}, {33, "EDOM"},
    {34, "ERANGE"}, {36, "ENAMETOOLONG"}, {38, "ENOSYS"}, {40, "ELOOP"}, {61, "ENODATA"}, {87, "EUSERS"},
    {92, "ENOPROTOOPT"}, {93, "EPROTONOSUPPORT"}, {94, "ESOCKTNOSUPPORT"}, {95, "EOPNOTSUPP"},
    {96, "EPFNOSUPPORT"}, {97, "EAFNOSUPPORT"}, {122, "EDQUOT"}, {126, "ENOKEY"}, {127, "EKEYEXPIRED"},
    {128, "EKEYREVOKED"},
};

static void add_error(unsigned long number) {
  for (unsigned i = 0; i < sizeof errors / sizeof *errors; i++)
    if ((unsigned long)errors[i].number == number) {
      add(errors[i].name);
      return;
    }
  add("E");
  add_number(number);
}

/* ---------------------------------------------------------------- children */

/* Like fork. The child does not outlive its parent. */
static long spawn(void) {
  long parent = call3(SYS_getpid, 0, 0, 0);
  long pid = call6(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
  if (pid != 0) return pid;
  call3(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0);
  if (call3(SYS_getppid, 0, 0, 0) != parent) quit(0); /* it ended before the line above */
  return 0;
}

static int wait_for(long pid) {
  int status = 0;
  call6(SYS_wait4, pid, (long)&status, 0, 0, 0, 0);
  return status;
}

/* ---------------------------------------------------------------- calls */

/*
 * Whoever adds a call: choose arguments that do nothing even for root with every capability and no filter, because a
 * weak container is exactly what this runs in. A filter looks at the number and the plain arguments before the kernel
 * looks at anything, so a pointer or a descriptor that leads nowhere still shows whether the call gets through.
 * Where the effect is what counts (namespaces, users), it hits a child that ends at once.
 */
struct call {
  const char *name;
  /* The number and arguments of the call; or `run`, where a call needs more than that. */
  long number, arguments[6];
  long (*run)(void);
};

/* In the child of a clone that worked, the result is 0 as well: it has to be gone before it does the parent's work. */
static long end_clone(long pid) {
  if (pid == 0) quit(0);
  if (!is_error(pid)) wait_for(pid);
  return pid;
}

static long clone_user(void) {
  return end_clone(call6(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0, 0));
}

/* struct clone_args, its first 64 bytes: flags is the first field, exit_signal the fifth. */
static const unsigned long clone3_arguments[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};

static long clone3_user(void) { return end_clone(call3(SYS_clone3, clone3_arguments, sizeof clone3_arguments, 0)); }

/*
 * Whether devices can be made is decided after the path, so it takes a real one. The device is /dev/null's, nobody has
 * a right to it, and it goes at once. Files may be made only in some folders of a hardened container: the second try.
 */
static long make_device(void) {
  static const char *const paths[] = {"/tmp/.ocs-probe-device", "/dev/shm/.ocs-probe-device"};
  long result = 0;
  for (unsigned i = 0; i < 2; i++) {
    result = call6(SYS_mknodat, AT_FDCWD, (long)paths[i], S_IFCHR, 1 << 8 | 3, 0, 0);
    if (!is_error(result)) call3(SYS_unlinkat, AT_FDCWD, paths[i], 0);
    if (result != -EROFS && result != -ENOENT && result != -EACCES) break;
  }
  return result;
}

#if defined(__x86_64__)
/* The 32-bit entry has its own call numbers, which a filter for 64 bits does not cover. 20 is getpid. */
static long int80(void) {
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "r8", "r9", "r10", "r11", "memory");
  return result;
}
#endif

static const unsigned capability_header[2] = {0x20080522, 0}; /* version 3, this process */
static const unsigned every_capability[6] = {-1, -1, -1, -1, -1, -1};
static const unsigned group_root[1] = {0};

#define PTR(object) ((long)(object))
/*
 * The kernel refuses type 15 once the filter has let the family through, and before it would load a module for it: a
 * real socket could leave a driver in the host's kernel. SOCKET says EINVAL when a socket of the family can be asked for.
 */
#define SOCKET(name, family, protocol) {"socket:" name, NR(41, 198), {family, 15, protocol}, 0}

static const struct call calls[] = {
    /* Other views of the file system. */
    {"mount", NR(165, 40), {0, 0, 0, 0, 0}, 0},
    {"umount2", NR(166, 39), {0, 0}, 0},
    {"pivot_root", NR(155, 41), {0, 0}, 0},
    {"chroot", NR(161, 51), {0}, 0},
    {"fsopen", 430, {0, 0}, 0},
    {"fsmount", 432, {-1, 0, 0}, 0},
    {"fspick", 433, {-1, 0, 0}, 0},
    {"open_tree", 428, {-1, 0, 0}, 0},
    {"move_mount", 429, {-1, 0, -1, 0, 0}, 0},
    {"mount_setattr", 442, {-1, 0, 0, 0, 0}, 0},
    {"open_by_handle_at", NR(304, 265), {-1, 0, 0}, 0},
    {"name_to_handle_at", NR(303, 264), {-1, 0, 0, 0, 0}, 0},
    {"quotactl", NR(179, 60), {NOBODY, 0, 0, 0}, 0}, /* a command that does not exist */
    {"fanotify_init", NR(300, 262), {-1, 0}, 0},
    {"mknodat:device", 0, {0}, make_device},

    /* Namespaces: the way to capabilities of one's own. */
    {"setns", NR(308, 268), {-1, 0}, 0},
    {"unshare:newuser", NR(272, 97), {CLONE_NEWUSER}, 0},
    {"clone:newuser", 0, {0}, clone_user},
    {"clone3:newuser", 0, {0}, clone3_user},

    /* Becoming somebody else. */
    {"setuid:0", NR(105, 146), {0}, 0},
    {"setgid:0", NR(106, 144), {0}, 0},
    {"setresuid:0", NR(117, 147), {0, 0, 0}, 0},
    {"setgroups:0", NR(116, 159), {1, PTR(group_root)}, 0},
    {"capset:all", NR(126, 91), {PTR(capability_header), PTR(every_capability)}, 0},
    {"personality", NR(135, 92), {0x0040000}, 0}, /* no address randomisation */

    /* Code in the kernel, and the machine itself. */
    {"init_module", NR(175, 105), {0, 0, 0}, 0},
    {"finit_module", NR(313, 273), {-1, 0, 0}, 0},
    {"delete_module", NR(176, 106), {0, 04000}, 0},
    /* An empty list of segments would unload the crash kernel: too many of them, and flags that do not exist. */
    {"kexec_load", NR(246, 104), {0, -1, 0, -16}, 0},
    {"kexec_file_load", NR(320, 294), {-1, -1, 0, 0, -16}, 0},
    {"reboot", NR(169, 142), {0, 0, 0, 0}, 0}, /* without its magic numbers */
    {"bpf", NR(321, 280), {9999, 0, 0}, 0},
    {"perf_event_open", NR(298, 241), {BAD, 0, -1, -1, 0}, 0},
    {"syslog", NR(103, 116), {10, 0, 0}, 0}, /* how large the kernel's log is */
    {"acct", NR(163, 89), {BAD}, 0}, /* NULL would switch it off */
    {"swapon", NR(167, 224), {0, 0}, 0},
    {"swapoff", NR(168, 225), {0}, 0},
    {"sethostname", NR(170, 161), {BAD, -1}, 0},
    {"setdomainname", NR(171, 162), {BAD, -1}, 0},
    {"settimeofday", NR(164, 170), {BAD, 0}, 0},
    {"clock_settime", NR(227, 112), {0, BAD}, 0},
    {"clock_adjtime", NR(305, 266), {0, BAD}, 0},
    {"adjtimex", NR(159, 171), {BAD}, 0},
    {"lookup_dcookie", NR(212, 18), {0, 0, 0}, 0},

    /* Other processes. */
    {"ptrace:traceme", NR(101, 117), {0, 0, 0, 0}, 0},
    {"process_vm_readv", NR(310, 270), {NOBODY, BAD, 1, BAD, 1, 0}, 0},
    {"process_vm_writev", NR(311, 271), {NOBODY, BAD, 1, BAD, 1, 0}, 0},
    {"process_madvise", 440, {-1, 0, 0, 0, -1}, 0},
    {"process_mrelease", 448, {-1, -1}, 0},
    {"pidfd_getfd", 438, {-1, -1, 0}, 0},
    {"kcmp", NR(312, 272), {NOBODY, NOBODY, 0, 0, 0}, 0},

    /* Keys, which no namespace separates. */
    {"keyctl", NR(250, 219), {9999}, 0},
    {"add_key", NR(248, 217), {0, 0, 0, 0, 0}, 0},
    {"request_key", NR(249, 218), {0, 0, 0, 0}, 0},

    /* What exploits of the kernel start from. */
    {"userfaultfd", NR(323, 282), {0x40000001}, 0},
    {"io_uring_setup", 425, {0, 0}, 0},
    {"io_uring_enter", 426, {-1, 0, 0, 0, 0, 0}, 0},
    {"io_uring_register", 427, {-1, 0, 0, 0}, 0},
    {"io_setup", NR(206, 0), {0, BAD}, 0},
    {"vmsplice", NR(278, 75), {-1, 0, 0, 0}, 0},
    {"move_pages", NR(279, 239), {NOBODY, 0, 0, 0, 0, -1}, 0},
    {"migrate_pages", NR(256, 238), {NOBODY, 0, 0, 0}, 0},
    {"mbind", NR(237, 235), {0, 0, 9999, 0, 0, 0}, 0},
    {"set_mempolicy", NR(238, 237), {9999, 0, 0}, 0},
    {"memfd_create", NR(319, 279), {PTR("ocs"), 1}, 0},
    {"memfd_secret", 447, {0x40000000}, 0},
    {"shmget", NR(29, 194), {0x6f6373, 0, 0}, 0}, /* one that nobody has made */
    {"shmat", NR(30, 196), {-1, 0, 0}, 0},
    {"msgget", NR(68, 186), {0x6f6373, 0}, 0},
    {"semget", NR(64, 190), {0x6f6373, 0, 0}, 0},
    {"mq_open", NR(240, 180), {0, 0, 0, 0}, 0},

    /* Typing into a terminal. The kernel looks at the low half of the request, so a filter must too. */
    {"ioctl:TIOCSTI", NR(16, 29), {-1, 0x5412, 0}, 0},
    {"ioctl:TIOCSTI-high-bits", NR(16, 29), {-1, 0x100005412, 0}, 0},
    {"ioctl:TIOCLINUX", NR(16, 29), {-1, 0x541c, 0}, 0},
    {"ioctl:TIOCLINUX-high-bits", NR(16, 29), {-1, 0x10000541c, 0}, 0},

    /* Sockets past the ordinary ones. */
    SOCKET("AF_KEY", 15, 2),
    SOCKET("AF_PACKET", 17, 0),
    SOCKET("AF_RDS", 21, 0),
    SOCKET("AF_CAN", 29, 1),
    SOCKET("AF_TIPC", 30, 0),
    SOCKET("AF_BLUETOOTH", 31, 1),
    SOCKET("AF_ALG", 38, 0),
    SOCKET("AF_VSOCK", 40, 0),
    SOCKET("AF_XDP", 44, 0),
    SOCKET("NETLINK_XFRM", 16, 6),
    SOCKET("NETLINK_AUDIT", 16, 9),
    SOCKET("NETLINK_NETFILTER", 16, 12),
    {"socket:raw-icmp", NR(41, 198), {2, 3, 1}, 0},
    /* TIPC makes pairs as well. The kernel wants to write their numbers first, and cannot. */
    {"socketpair:AF_TIPC", NR(53, 199), {30, 15, 0, BAD}, 0},

#if defined(__x86_64__)
    /* The other entrances of this processor, and its old calls. */
    {"int80:getpid", 0, {0}, int80},
    {"x32:getpid", 0x40000000 | SYS_getpid, {0}, 0},
    {"iopl", 172, {9}, 0},
    {"ioperm", 173, {-1, 1, 1}, 0},
    {"modify_ldt", 154, {0, 0, 0}, 0}, /* reads none of it */
    {"ustat", 136, {0, BAD}, 0},
    {"sysfs", 139, {3}, 0}, /* how many file systems there are */
    {"uselib", 134, {0}, 0},
#endif
};

static void make_calls(void) {
  for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
    const struct call *call = &calls[i];
    const long *a = call->arguments;
    /* A child each: being killed is an answer, and what a call did ends with it. */
    long pid = spawn();
    /* Nothing has been printed yet: whoever reads the list gets all of it or none. */
    if (is_error(pid)) fail("probe: cannot start a child for each call", 4);
    if (pid == 0) {
      call3(SYS_prctl, PR_SET_DUMPABLE, 0, 0); /* a killed one leaves no core */
      long result = call->run ? call->run() : call6(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
      quit(!is_error(result) ? 0 : result < -255 ? 255 : -result);
    }
    int status = wait_for(pid), signal = status & 0x7f, code = status >> 8 & 0xff;
#if defined(__x86_64__)
    /* A kernel without the 32-bit entry. */
    if (call->run == int80 && signal == SIGSEGV) signal = 0, code = ENOSYS;
#endif
    add(call->name);
    add(" ");
    if (signal == SIGSYS) add("SIGSYS");
    else if (signal != 0) add("SIGNAL"), add_number(signal);
    else if (code != 0) add_error(code);
    else add("ok");
    add("\n");
  }
  flush(1);
}

/* ---------------------------------------------------------------- fork */

enum { MOST_CHILDREN = 5000 };

static void fork_children(unsigned long most) {
  static int pids[MOST_CHILDREN];
  unsigned long count = 0;
  long error = 0;
  int ends[2];
  char byte;
  if (is_error(call3(SYS_pipe2, ends, O_CLOEXEC, 0))) fail("probe: no pipe", 4);
  if (most > MOST_CHILDREN) most = MOST_CHILDREN;
  while (count < most) {
    long pid = spawn();
    if (pid == 0) {
      /* Blocked until the parent is gone, even where prctl is refused. */
      call3(SYS_close, ends[1], 0, 0);
      call3(SYS_read, ends[0], &byte, 1);
      quit(0);
    }
    if (is_error(pid)) {
      error = -pid;
      break;
    }
    pids[count++] = pid;
  }
  add("forked ");
  add_number(count);
  add(" ");
  if (error) add_error(error);
  else add("none");
  add("\n");
  flush(1);
  for (unsigned long i = 0; i < count; i++) call3(SYS_kill, pids[i], SIGKILL, 0);
  for (unsigned long i = 0; i < count; i++) wait_for(pids[i]);
}

/* ---------------------------------------------------------------- hog */

enum { PIECE = 8, STEP = 64, MIB = 1 << 20, PAGE = 4096 };
#define MOST_MEMORY (1UL << 20) /* 1 TiB in MiB */

static void hog(unsigned long most) {
  /* Of all processes that share the limit, the kernel is to take this one. */
  long file = call6(SYS_openat, AT_FDCWD, PTR("/proc/self/oom_score_adj"), O_WRONLY, 0, 0, 0);
  if (!is_error(file)) {
    call3(SYS_write, file, "1000", 4);
    call3(SYS_close, file, 0, 0);
  }
  if (most > MOST_MEMORY) most = MOST_MEMORY;
  for (unsigned long done = 0; done < most;) {
    unsigned long piece = most - done < PIECE ? most - done : PIECE;
    /* Readable and writable, private and anonymous. */
    long memory = call6(SYS_mmap, 0, piece * MIB, 3, 0x22, -1, 0);
    if (is_error(memory)) {
      add("refused ");
      add_error(-memory);
      add("\n");
      flush(1);
      return;
    }
    /* Large pages where the machine has them: the limit is the same, and is reached in a quarter of the time. */
    call3(SYS_madvise, memory, piece * MIB, 14 /* MADV_HUGEPAGE */);
    /* Another value in each page, so that none can be shared or stored as a repetition. */
    for (unsigned long at = 0; at < piece * MIB; at += PAGE)
      *(volatile unsigned long *)(memory + at) = (unsigned long)memory + at;
    done += piece;
    if (done % STEP == 0) {
      add("touched ");
      add_number(done);
      add("\n");
      flush(1);
    }
  }
  add("touched all ");
  add_number(most);
  add("\n");
  flush(1);
}

/* ---------------------------------------------------------------- start */

/* A decimal number of at most nine digits, or -1. */
static long number_of(const char *digits) {
  long number = 0;
  unsigned length = 0;
  for (; *digits >= '0' && *digits <= '9' && length < 10; digits++, length++) number = number * 10 + *digits - '0';
  return *digits == 0 && length > 0 && length < 10 ? number : -1;
}

/* What the kernel leaves on the stack: the number of arguments, the arguments, 0, the environment, 0. */
__attribute__((used)) _Noreturn void begin(long *stack) {
  long count = stack[0];
  char **arguments = (char **)(stack + 1);
  char **environment = arguments + count + 1;
  const char *mode = count > 1 ? arguments[1] : "";
  long number = count == 3 ? number_of(arguments[2]) : -1;
  int is_calls = count == 2 && same(mode, "calls");
  int is_fork = number >= 0 && same(mode, "fork");
  int is_hog = number >= 0 && same(mode, "hog");
  if (!is_calls && !is_fork && !is_hog) fail("usage: probe calls | probe fork N | probe hog MIB", 2);

  /* A machine's own root must not run this by accident. */
  int is_sibling = 0;
  for (; *environment != 0; environment++) is_sibling |= same(*environment, "OCS_SIBLING=1");
  if (!is_sibling) fail("probe: refused; this belongs in a throw-away container (OCS_SIBLING=1)", 3);

  if (is_calls) make_calls();
  if (is_fork) fork_children(number);
  if (is_hog) hog(number);
  quit(0);
}
