/* The workload of the demo targets: answers HTTP on 127.0.0.1:8080 of its own network namespace.
 *
 * As PID 1 it is sent no signal it has no handler for, pid_namespaces(7), hence the handler of SIGTERM. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char answer[] = "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n";

static void stop(int number)
{
    (void)number;
    _exit(0);
}

int main(void)
{
    struct sockaddr_in address;
    struct sigaction action;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memset(&action, 0, sizeof action);
    action.sa_handler = stop;
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(8080);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16))
        return 1;
    for (;;) {
        char request[4096];
        ssize_t done;
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            continue;
        done = read(client, request, sizeof request);
        if (done > 0)
            done = write(client, answer, sizeof answer - 1);
        shutdown(client, SHUT_RDWR);
        close(client);
    }
}
