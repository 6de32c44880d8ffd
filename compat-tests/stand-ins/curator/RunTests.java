import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClasspathRoots;

import java.io.PrintStream;
import java.nio.file.Paths;
import java.util.Collections;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * Runs the tests of a jar, and writes of each "ok NAME", "FAILED NAME: why" or "skipped NAME: why" into a
 * file. Arguments: the jar and the file.
 */
public final class RunTests implements TestExecutionListener {
    private final PrintStream outcomes;

    private RunTests(PrintStream outcomes) {
        this.outcomes = outcomes;
    }

    public static void main(String[] arguments) throws Exception {
        LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
            .selectors(selectClasspathRoots(Collections.singleton(Paths.get(arguments[0]))))
            .build();
        PrintStream outcomes = new PrintStream(arguments[1]);
        LauncherFactory.create().execute(request, new RunTests(outcomes));
        // Some of them leave threads.
        System.exit(0);
    }

    private static String name(TestIdentifier test) {
        return test.getSource().filter(MethodSource.class::isInstance).map(MethodSource.class::cast)
            .map(source -> source.getClassName().replaceAll(".*\\.", "") + "." + source.getMethodName()
                + (test.getDisplayName().startsWith(source.getMethodName()) ? "" : " " + test.getDisplayName()))
            .orElse(test.getDisplayName());
    }

    @Override
    public void executionSkipped(TestIdentifier test, String reason) {
        outcomes.println("skipped " + name(test) + ": " + reason.replace('\n', ' '));
    }

    @Override
    public void executionFinished(TestIdentifier test, TestExecutionResult result) {
        if (result.getStatus() == TestExecutionResult.Status.SUCCESSFUL) {
            if (test.isTest()) {
                outcomes.println("ok " + name(test));
            }
            return;
        }
        String why = result.getThrowable().map(Object::toString).orElse("").replace('\n', ' ');
        String word = result.getStatus() == TestExecutionResult.Status.ABORTED ? "skipped " : "FAILED ";
        outcomes.println(word + name(test) + ": " + why);
        result.getThrowable().ifPresent(Throwable::printStackTrace);
    }
}
