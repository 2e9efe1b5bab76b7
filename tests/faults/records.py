"""What `bindery load --record` and `bindery smsc --record` wrote, message by message."""

OK = "ESME_ROK"
# What an account hears of a message that was written to a carrier and never answered, unless it is told otherwise.
UNKNOWN = "ESME_RSUBMITFAIL"


class Answered:
    """What the ESMEs heard: answers by the number of the message, receipts, MO."""

    def __init__(self, path):
        self.started = None
        # number: (microseconds since the start, account, status, id)
        self.answers = {}
        # Messages with a second answer.
        self.again = 0
        # (account, id, stat, text)
        self.receipts = []
        # (account, destination)
        self.mo = []
        with open(path, encoding="ascii") as file:
            for line in file:
                self._take(line.rstrip("\n").split("\t"))

    def _take(self, fields):
        kind = fields[0]
        if kind == "answer":
            _, micros, account, number, status, message = fields
            self.again += int(number) in self.answers
            self.answers[int(number)] = (int(micros), account, status, message)
        elif kind == "receipt":
            self.receipts.append(tuple(fields[2:6]))
        elif kind == "mo":
            self.mo.append((fields[2], fields[3]))
        elif kind == "start":
            self.started = int(fields[1]) / 1e6

    def statuses(self):
        """How often each status was heard."""
        counts = {}
        for _, _, status, _ in self.answers.values():
            counts[status] = counts.get(status, 0) + 1
        return counts


class Carried:
    """What one process of a simulated carrier did. The texts begin with its name, if it has one."""

    def __init__(self, path, whole=True):
        # id: number, of what it accepted
        self.accepted = {}
        self.statuses = {}
        # Receipts that were answered ESME_ROK, by id; the others by status.
        self.acked = {}
        self.refused = {}
        with open(path, encoding="ascii") as file:
            lines = file.read().split("\n")
        # The last line of a process that was killed may be cut.
        tail = lines.pop()
        if tail and whole:
            raise ValueError(f"{path} ends in the middle of a line")
        for line in lines:
            fields = line.split("\t")
            if fields[0] == "submit":
                _, status, message, _, text = fields
                self.statuses[status] = self.statuses.get(status, 0) + 1
                if status == OK:
                    self.accepted[message] = int(text[:12])
            elif fields[1] == OK:
                self.acked[fields[2]] = self.acked.get(fields[2], 0) + 1
            else:
                self.refused[fields[1]] = self.refused.get(fields[1], 0) + 1


def number_in(text):
    """The number of the message that a receipt quotes, after the carrier's name if there is one."""
    digits = text.split(" ")
    return int(digits[0] if digits[0].isdigit() else digits[1])
