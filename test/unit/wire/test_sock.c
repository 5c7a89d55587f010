/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_sock.c - paths in every condition, and descriptors that must not leak.
 */
#define _GNU_SOURCE 1

#include "../peer.h"

#include <fcntl.h>
#include <sys/wait.h>

#include "wire/sock.h"

static char reason[SOCK_REASON_LEN];

static void
test_fresh_path_is_bound_and_removed(void)
{
	struct peer_path path = peer_path("s");
	struct sock_listener l;
	struct stat st;

	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), 0);
	CHECK(stat(path.text, &st) == 0 && S_ISSOCK(st.st_mode));
	CHECK(fcntl(l.fd, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(l.fd, F_GETFD) & FD_CLOEXEC);
	vhc_sock_unlisten(&l);
	CHECK_EQ(l.fd, -1);
	CHECK(stat(path.text, &st) < 0);
	vhc_sock_unlisten(&l);
}

static void
test_path_of_107_bytes_fits_and_108_do_not(void)
{
	char path[109] = { 0 };
	struct sock_listener l;

	memset(path, 'x', sizeof(path) - 1);
	memcpy(path, peer_folder, strlen(peer_folder));
	path[strlen(peer_folder)] = '/';
	CHECK_EQ(vhc_sock_listen(path, &l, reason), -ENAMETOOLONG);
	CHECK_HAS(reason, "at most 107");
	path[107] = '\0';
	CHECK_EQ(vhc_sock_listen(path, &l, reason), 0);
	vhc_sock_unlisten(&l);
}

static void
test_regular_file_is_left_alone(void)
{
	struct peer_path path = peer_path("file");
	struct sock_listener l;
	struct stat st;
	int fd = open(path.text, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	CHECK_EQ(write(fd, "keep", 4), 4);
	close(fd);
	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), -ENOTSOCK);
	CHECK_HAS(reason, "not a socket");
	CHECK(stat(path.text, &st) == 0 && st.st_size == 4);
	unlink(path.text);
}

static void
test_dangling_link_is_left_alone(void)
{
	struct peer_path path = peer_path("link");
	struct sock_listener l;
	struct stat st;

	CHECK_EQ(symlink("/nowhere/at/all", path.text), 0);
	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), -ENOTSOCK);
	CHECK_EQ(lstat(path.text, &st), 0);
	unlink(path.text);
}

static void
test_stale_socket_is_replaced(void)
{
	struct peer_path path = peer_path("stale");
	struct sock_listener l;

	close(peer_listen(path.text));
	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), 0);
	close(peer_connect(path.text));
	vhc_sock_unlisten(&l);
}

static void
test_living_listener_is_named(void)
{
	struct peer_path path = peer_path("busy");
	struct sock_listener l;
	char who[64];
	int other = peer_listen(path.text);

	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), -EADDRINUSE);
	snprintf(who, sizeof(who), "process %d (%.15s) ", (int)getpid(),
		 program_invocation_short_name);
	CHECK_HAS(reason, who);
	close(peer_connect(path.text));
	close(other);
	unlink(path.text);
}

static void
test_listener_with_a_full_queue_is_alive(void)
{
	struct peer_path path = peer_path("full");
	struct sock_listener l;
	int other = peer_bind(path.text), queued[2];

	CHECK_EQ(listen(other, 0), 0);
	queued[0] = peer_connect(path.text);
	CHECK_EQ(vhc_sock_connect(path.text, &queued[1], &(pid_t){ 0 }, reason), -EAGAIN);
	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), -EADDRINUSE);
	close(queued[0]);
	close(other);
	unlink(path.text);
}

static void
test_other_kind_of_socket_is_left_alone(void)
{
	struct peer_path path = peer_path("dgram");
	struct sockaddr_un addr = peer_address(path.text);
	struct sock_listener l;
	struct stat st;
	int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	CHECK_EQ(bind(other, (struct sockaddr *)&addr, sizeof(addr)), 0);
	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), -EADDRINUSE);
	CHECK_EQ(stat(path.text, &st), 0);
	close(other);
	unlink(path.text);
}

static void
test_missing_directory_says_mkdir(void)
{
	struct peer_path path = peer_path("none/s");
	struct sock_listener l;

	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), -ENOENT);
	CHECK_HAS(reason, "mkdir -p ");
}

static void
test_socket_of_another_is_not_removed(void)
{
	struct peer_path path = peer_path("replaced");
	struct sock_listener l;
	struct stat st;
	int other;

	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), 0);
	unlink(path.text);
	other = peer_listen(path.text);
	vhc_sock_unlisten(&l);
	CHECK_EQ(stat(path.text, &st), 0);
	close(other);
	unlink(path.text);
}

/* Run `body` as uid and gid 65534 in a child, and pass its failure on. */
static void
as_nobody(void (*body)(void))
{
	int status;
	pid_t child = fork();

	CHECK(child >= 0);
	if (child == 0) {
		CHECK(setgid(65534) == 0 && setuid(65534) == 0);
		body();
		exit(0);
	}
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
nobody_listens(void)
{
	struct sock_listener l;

	CHECK_EQ(vhc_sock_listen(peer_path("denied").text, &l, reason), -EACCES);
	CHECK_HAS(reason, "uid 65534 gid 65534");
	CHECK_HAS(reason, "belongs to uid 0 gid 0 with mode 0755");
}

static void
nobody_connects(void)
{
	pid_t peer;
	int sock;

	CHECK_EQ(vhc_sock_connect(peer_path("denied").text, &sock, &peer, reason), -EACCES);
	CHECK_HAS(reason, "uid 65534 gid 65534");
	CHECK_HAS(reason, "belongs to uid 0 gid 0 with mode 0700");
}

static void
nobody_looks_inside(void)
{
	struct sock_listener l;

	CHECK_EQ(vhc_sock_listen(peer_path("inner/s").text, &l, reason), -EACCES);
	CHECK_HAS(reason, "a directory above it is closed to uid 65534");
}

static void
test_permission_denied_names_both_sides(void)
{
	struct peer_path path = peer_path("denied");
	int other;

	if (geteuid() != 0) {
		fprintf(stderr, "left out: needs root to become another user\n");
		return;
	}
	CHECK_EQ(chmod(peer_folder, 0755), 0);
	as_nobody(nobody_listens);
	other = peer_listen(path.text);
	CHECK_EQ(chmod(path.text, 0700), 0);
	as_nobody(nobody_connects);
	unlink(path.text);
	close(other);
	CHECK_EQ(chmod(peer_folder, 0700), 0);
	CHECK_EQ(mkdir(peer_path("inner").text, 0755), 0);
	as_nobody(nobody_looks_inside);
	CHECK_EQ(rmdir(peer_path("inner").text), 0);
}

static void
test_connect_says_what_is_missing(void)
{
	struct peer_path path = peer_path("c");
	pid_t peer;
	int sock, fd;

	CHECK_EQ(vhc_sock_connect(path.text, &sock, &peer, reason), -ENOENT);
	CHECK_HAS(reason, "server=on");
	close(peer_listen(path.text));
	CHECK_EQ(vhc_sock_connect(path.text, &sock, &peer, reason), -ECONNREFUSED);
	CHECK_HAS(reason, "server=on");
	unlink(path.text);
	fd = open(path.text, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	CHECK_EQ(vhc_sock_connect(path.text, &sock, &peer, reason), -ECONNREFUSED);
	CHECK_HAS(reason, "it is not a socket");
	close(fd);
	unlink(path.text);
}

static void
test_accept_and_connect_know_the_peer(void)
{
	struct peer_path path = peer_path("a");
	struct sock_listener l;
	pid_t peer = 0;
	int ours, theirs;

	CHECK_EQ(vhc_sock_listen(path.text, &l, reason), 0);
	CHECK_EQ(vhc_sock_accept(l.fd, &ours, &peer), -EAGAIN);
	CHECK_EQ(vhc_sock_connect(path.text, &theirs, &peer, reason), 0);
	CHECK_EQ(peer, getpid());
	CHECK(fcntl(theirs, F_GETFL) & O_NONBLOCK);
	peer = 0;
	CHECK_EQ(vhc_sock_accept(l.fd, &ours, &peer), 0);
	CHECK_EQ(peer, getpid());
	CHECK(fcntl(ours, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(ours, F_GETFD) & FD_CLOEXEC);
	close(ours);
	close(theirs);
	vhc_sock_unlisten(&l);
}

static void
make_pair(int pair[2])
{
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

static void
test_receive_takes_no_more_than_asked(void)
{
	int pair[2], fds[SOCK_FDS_MAX];
	unsigned int nr_fds;
	char bytes[16];

	make_pair(pair);
	peer_send(pair[1], "abcdef", 6, 0);
	CHECK_EQ(vhc_sock_receive(pair[0], bytes, 4, fds, &nr_fds), 4);
	CHECK(memcmp(bytes, "abcd", 4) == 0);
	CHECK_EQ(nr_fds, 0);
	CHECK_EQ(vhc_sock_receive(pair[0], bytes, 4, fds, &nr_fds), 2);
	CHECK_EQ(vhc_sock_receive(pair[0], bytes, 4, fds, &nr_fds), -EAGAIN);
	close(pair[1]);
	CHECK_EQ(vhc_sock_receive(pair[0], bytes, 4, fds, &nr_fds), 0);
	close(pair[0]);
}

static void
test_receive_takes_32_descriptors(void)
{
	int pair[2], fds[SOCK_FDS_MAX], before;
	unsigned int nr_fds;
	char byte;

	make_pair(pair);
	before = peer_nr_open_fds();
	peer_send(pair[1], "x", 1, 32);
	CHECK_EQ(vhc_sock_receive(pair[0], &byte, 1, fds, &nr_fds), 1);
	CHECK_EQ(nr_fds, 32);
	CHECK_EQ(peer_nr_open_fds(), before + 32);
	for (unsigned int i = 0; i < nr_fds; i++) {
		CHECK(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		close(fds[i]);
	}
	close(pair[0]);
	close(pair[1]);
}

static void
test_truncated_descriptors_are_closed(void)
{
	int pair[2], fds[SOCK_FDS_MAX], before;
	unsigned int nr_fds;
	char byte;

	make_pair(pair);
	before = peer_nr_open_fds();
	peer_send(pair[1], "x", 1, 33);
	CHECK_EQ(vhc_sock_receive(pair[0], &byte, 1, fds, &nr_fds), -EMSGSIZE);
	CHECK_EQ(nr_fds, 0);
	CHECK_EQ(peer_nr_open_fds(), before);
	close(pair[0]);
	close(pair[1]);
}

static void
test_empty_rights_are_legal(void)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16))) = { 0 };
	struct cmsghdr *c = (struct cmsghdr *)(void *)control;
	struct iovec part = { (char[]){ "x" }, 1 };
	struct msghdr mh = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
			     .msg_controllen = CMSG_SPACE(0) };
	int pair[2], fds[SOCK_FDS_MAX];
	unsigned int nr_fds;
	char byte;

	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
			       .cmsg_len = CMSG_LEN(0) };
	make_pair(pair);
	CHECK_EQ(sendmsg(pair[1], &mh, 0), 1);
	CHECK_EQ(vhc_sock_receive(pair[0], &byte, 1, fds, &nr_fds), 1);
	CHECK_EQ(nr_fds, 0);
	close(pair[0]);
	close(pair[1]);
}

static void
test_send_to_one_who_does_not_read_fails(void)
{
	char block[4096] = { 0 };
	struct iovec part = { block, sizeof(block) };
	int pair[2], rc = 0;

	make_pair(pair);
	for (int i = 0; i < 10000 && rc == 0; i++)
		rc = vhc_sock_send(pair[0], &part, 1, NULL, 0);
	CHECK_EQ(rc, -EAGAIN);
	close(pair[1]);
	CHECK_EQ(vhc_sock_send(pair[0], &part, 1, NULL, 0), -EPIPE);
	close(pair[0]);
}

static const struct test tests[] = {
	TEST(test_fresh_path_is_bound_and_removed),
	TEST(test_path_of_107_bytes_fits_and_108_do_not),
	TEST(test_regular_file_is_left_alone),
	TEST(test_dangling_link_is_left_alone),
	TEST(test_stale_socket_is_replaced),
	TEST(test_living_listener_is_named),
	TEST(test_listener_with_a_full_queue_is_alive),
	TEST(test_other_kind_of_socket_is_left_alone),
	TEST(test_missing_directory_says_mkdir),
	TEST(test_socket_of_another_is_not_removed),
	TEST(test_permission_denied_names_both_sides),
	TEST(test_connect_says_what_is_missing),
	TEST(test_accept_and_connect_know_the_peer),
	TEST(test_receive_takes_no_more_than_asked),
	TEST(test_receive_takes_32_descriptors),
	TEST(test_truncated_descriptors_are_closed),
	TEST(test_empty_rights_are_legal),
	TEST(test_send_to_one_who_does_not_read_fails),
};

int
main(void)
{
	int rc;

	peer_make_folder();
	rc = RUN_TESTS(tests);
	peer_remove_folder();
	return rc;
}
