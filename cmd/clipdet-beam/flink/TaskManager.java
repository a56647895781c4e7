import org.apache.beam.model.pipeline.v1.RunnerApi;
import org.apache.flink.runtime.taskexecutor.TaskManagerRunner;

/**
 * Starts a TaskManager when Beam's classes are ready. Two tasks that need them first at the
 * same time can wait for each other forever: RunnerApi and a class in it initialise each
 * other.
 */
public class TaskManager {
  public static void main(String[] args) throws Exception {
    RunnerApi.Components.getDefaultInstance();
    TaskManagerRunner.main(args);
  }
}
