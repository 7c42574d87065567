"""The example workflows, played through a real engine by the scripted provider."""
