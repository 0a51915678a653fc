"""The register of scenarios."""

SCENARIOS = {}


def scenario(function=None, *, deviates=None):
    """Registers a function of a `Peer`. `deviates` says why we answer otherwise than RabbitMQ, in
    the words of protocol-spec/deviations.md: then the answers must differ."""

    def register(function):
        name = f"{function.__module__.rsplit('.', 1)[-1]}.{function.__name__}"
        assert name not in SCENARIOS, name
        function.deviates = deviates
        SCENARIOS[name] = function
        return function

    return register(function) if function else register
